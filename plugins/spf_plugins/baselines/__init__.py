"""Plugin group baselines."""
