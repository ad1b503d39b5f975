"""Files that other programs open: LoRAs, diffusers folders, single-file checkpoints, and their checks."""
