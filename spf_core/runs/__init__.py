"""Run folders: the run configuration, weights, checkpoints, caches, locks and provenance."""
