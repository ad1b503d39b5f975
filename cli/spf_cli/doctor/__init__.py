"""Whether this machine can do what is asked of it: findings, each with a way out."""
