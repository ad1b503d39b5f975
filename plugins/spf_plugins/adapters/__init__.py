"""Plugin group adapters."""
