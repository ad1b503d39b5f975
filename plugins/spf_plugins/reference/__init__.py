"""Plugin group reference."""
