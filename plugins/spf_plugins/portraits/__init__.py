"""Plugin group portraits."""
