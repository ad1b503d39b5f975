"""Upstream's weight files into safetensors under the names that the scores read."""
