"""Judges of the embedded portraits: what a picture shows, by networks that no adapter is trained with."""
