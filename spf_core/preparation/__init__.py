"""What happens to the training rows before the first step."""
