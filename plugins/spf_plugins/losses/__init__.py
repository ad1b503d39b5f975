"""Plugin group losses."""
