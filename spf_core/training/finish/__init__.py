"""How a run ends: calibration and distillation of its handover, and the weights that are written."""
