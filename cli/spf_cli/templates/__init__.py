"""What `spf plugins new` copies: a component of each kind that works. `make lint` checks them like other code."""
