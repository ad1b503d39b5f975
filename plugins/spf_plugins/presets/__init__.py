"""Presets: the method, its ablations and the baselines, each a choice of components."""

from spf_core.plugins.configs import PresetConfig
from spf_core.plugins.hookspecs import hookimpl
from spf_plugins.presets.baselines import BASELINES
from spf_plugins.presets.method import METHOD


@hookimpl
def spf_register_presets() -> list[type[PresetConfig]]:
    """Register the presets of this group."""
    return [*METHOD, *BASELINES]
