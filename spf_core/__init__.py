"""spf_core: interfaces, configuration, the dual-path step, training, sampling and evaluation."""

__version__ = "0.1.0"
