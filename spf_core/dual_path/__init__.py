"""One training step: what chance decides, both paths, what they record, the control map and the terms."""
