"""Checks of this machine: findings, each with a way out."""
