"""The configuration that a run folder holds, read with the components that are installed here. Torch-free."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from spf_core.config.loading import parse_component, read_from, resolve
from spf_core.config.merging import SLOTS
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, PluginError, RunError
from spf_core.plugins.configs import KINDS, Component
from spf_core.plugins.discovery import Entry, Plugins
from spf_core.runs.provenance import origin_of, read_provenance
from spf_core.utils.paths import starting_in
from spf_core.utils.yaml_text import read_yaml

CONFIG_FILE = "config.yaml"
_DRAWS = frozenset({"backbone", "adapter", "prompt-editor"})  # the kinds that pictures depend on


def saved_config(run: Path, plugins: Plugins, *, trains: bool = False) -> RunConfig:
    """The resolved configuration of a run folder; RunError when the folder is none.

    Relative paths start from where the run was started. What only training reads need not be installed: such
    a component is kept as the file describes it, unless the run `trains`. RunError names what is needed and
    missing, and who provided it.
    """
    if not (run / CONFIG_FILE).is_file():
        raise RunError(
            f"'{run}' is not a run folder: it has no {CONFIG_FILE}; `spf train --out {run}` makes one"
        )
    raw = read_yaml(run / CONFIG_FILE)
    missing = [(kind, name) for kind, name, _ in _components(raw) if not _is_there(plugins, kind, name)]
    needed = [each for each in missing if trains or each[0] in _DRAWS]
    if needed:
        raise RunError(f"'{run}' needs {'; '.join(origin_of(run, kind, name) for kind, name in needed)}")
    record = read_provenance(run)
    with read_from(run / CONFIG_FILE), starting_in(record.started_in if record else None):
        return resolve(raw, plugins if trains else _with_described(run, raw, plugins), saved=True)


def _components(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Kind, name and options of everything that the configuration names."""
    for slot, kind in SLOTS.items():
        chosen = raw.get(slot)
        name = chosen.get("name") if isinstance(chosen, Mapping) else chosen
        if isinstance(name, str):
            yield kind, name, chosen
    train = raw.get("train")
    trackers = train.get("trackers") if isinstance(train, Mapping) else None
    for chosen in trackers if isinstance(trackers, list) else ():
        name = chosen.get("name") if isinstance(chosen, Mapping) else chosen
        if isinstance(name, str):
            yield "tracker", name, chosen
    losses = raw.get("losses")
    for name, options in losses.items() if isinstance(losses, Mapping) else ():
        yield "loss", name, {**options, "name": name} if isinstance(options, Mapping) else name


def _is_there(plugins: Plugins, kind: str, name: str) -> bool:
    return name in plugins.of_kind(kind)


def _with_described(run: Path, raw: Mapping[str, Any], plugins: Plugins) -> Plugins:
    """The plugins, and a stand-in for each component of training that this installation cannot read."""
    entries = dict(plugins.entries)
    for kind, name, options in _components(raw):
        if kind in _DRAWS:
            continue
        with suppress(ConfigError, PluginError):
            parse_component(plugins, kind, options, "")
            continue
        entries[name] = Entry(_described(run, kind, name), "the run folder", "described")
    return Plugins(entries, plugins.broken, plugins.modules)


def _described(run: Path, kind: str, name: str) -> type[Component]:
    """A config of the kind that keeps whatever options it is given, and builds nothing."""

    def build(self: Component) -> Any:
        raise RunError(f"'{run}' needs {origin_of(run, kind, name)}")

    members = {"name": name, "model_config": ConfigDict(extra="allow"), "build": build}
    return type("Described", (KINDS[kind],), {**members, "__module__": __name__})
