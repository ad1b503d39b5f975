"""Files that other programs open: LoRA files, diffusers folders, single-file checkpoints, and their checks."""
