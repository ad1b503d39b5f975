"""All checks, in the order in which they depend on each other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spf_cli.doctor.finding import Finding
from spf_cli.doctor.machine import devices, places, versions
from spf_cli.doctor.parts import models_are_there, plugins_load
from spf_core.plugins.discovery import Plugins


def examine(plugins: Plugins, backbone: Mapping[str, Any], out: Path | None) -> Iterator[Finding]:
    """Check the machine, the plugins, and the backbone of this name and these options with what it loads."""
    yield from versions()
    yield from devices()
    yield from places(out)
    yield from plugins_load(plugins)
    yield from models_are_there(plugins, backbone)
