"""The training loop: optimizer, checkpoints, resuming, samples and what a run ends with."""
