"""Plugin group response."""
