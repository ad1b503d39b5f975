"""Presets x targets x training seeds, from one file into tables."""
