"""Scores of the literature: what they do with pictures, texts and judges."""
