"""From preset, file, flags and `--set` to one validated, frozen run configuration. Torch-free."""
