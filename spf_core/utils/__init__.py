"""What every room may use: files, texts, paths, devices, processes. It knows nothing of training."""
