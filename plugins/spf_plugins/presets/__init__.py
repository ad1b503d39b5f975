"""Presets: the method, its ablations and the baselines. Each chooses components and settings."""

from spf_core.plugins import Register, hookimpl
from spf_plugins.presets.baselines import BASELINES
from spf_plugins.presets.method import METHOD


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (*METHOD, *BASELINES):
        register(config)
