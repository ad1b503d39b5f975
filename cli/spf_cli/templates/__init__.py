"""What `spf plugins new` copies: a component of each kind that works, linted like all code."""
