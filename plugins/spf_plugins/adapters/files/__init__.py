"""Adapters that read a file of weights, of any trainer, and add it to a backbone."""
