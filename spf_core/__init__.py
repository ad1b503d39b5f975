"""spf_core: interfaces, configuration, the dual-path step, training, sampling and evaluation."""

__version__ = "0.1.0"
API_VERSION = "0.1"  # of what plugins may use: docs/reference/api lists it
