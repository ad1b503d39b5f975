"""Plugin group metrics."""
