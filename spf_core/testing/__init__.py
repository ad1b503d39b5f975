"""What authors of components test theirs with."""

from spf_core.testing.conformance import (
    check_attention_sites,
    check_diffusers_export,
    check_noise_process,
    check_run,
    check_strength_zero,
)

__all__ = [
    "check_attention_sites",
    "check_diffusers_export",
    "check_noise_process",
    "check_run",
    "check_strength_zero",
]
