"""Plugins and models."""

from collections.abc import Iterator, Mapping
from typing import Any

from spf_cli.doctor.finding import Finding
from spf_core.config.loading import parse_component
from spf_core.errors import SpfError
from spf_core.plugins.configs import BackboneConfig
from spf_core.plugins.discovery import Plugins


def plugins_load(plugins: Plugins) -> Iterator[Finding]:
    """Every plugin that could not be loaded, and how many could."""
    for broken in plugins.broken:
        way_out = f"mend or uninstall it, or set SPF_DISABLED_PLUGINS={broken.provider}"
        yield Finding(f"plugin {broken.provider}", "broken", broken.reason, way_out)
    providers = {entry.provider for entry in plugins.entries.values()}
    if providers:
        yield Finding("plugins", "fine", f"{len(plugins.entries)} components of {len(providers)} plugins")
    else:
        yield Finding("plugins", "broken", "none is installed", "pip install -e . in spf's folder")


def models_are_there(plugins: Plugins, options: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether the backbone is available, and each other model that it loads; this downloads no weights.

    `options` contains the backbone's name.
    """
    subject = f"backbone {options.get('name')}"
    try:
        config = parse_component(plugins, "backbone", options, "backbone")
    except SpfError as error:
        yield _broken(subject, error)
        return
    assert isinstance(config, BackboneConfig)
    for name, look in {subject: config.look, **config.companions()}.items():
        try:
            yield Finding(name, "fine", look())
        except SpfError as error:
            yield _broken(name, error)


def _broken(subject: str, error: SpfError) -> Finding:
    found, _, way_out = str(error).rpartition("; ")
    return Finding(subject, "broken", found or str(error), way_out if found else "")
