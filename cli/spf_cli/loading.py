"""From flags to plugins and a run configuration. Torch-free."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from spf_cli.render import note
from spf_core.components import Component
from spf_core.config import SLOTS, RunConfig, load_run_config, read_run_config
from spf_core.errors import RunError
from spf_core.lock import is_filled
from spf_core.plugins import Plugins, load_plugins

_SELECTABLE = {*SLOTS.values(), "loss", "preset"}


def load(files: Iterable[str | Path] = ()) -> Plugins:
    """Load all plugins and `files` (each once); one warning line for each broken plugin."""
    plugins = load_plugins(dict.fromkeys(str(Path(file)) for file in files))
    for broken in plugins.broken:
        note("warning", "yellow", str(broken))
    return plugins


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    backbone: str | None = None,
    chosen: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> tuple[RunConfig, Plugins]:
    """Load plugins and files among `chosen` and in `file`, then resolve the configuration."""
    files = list(dict.fromkeys([*plugin_files(file), *(str(Path(item)) for item in chosen if is_file(item))]))
    plugins = load(files)
    config = load_run_config(
        plugins,
        preset=preset,
        file=file,
        backbone=backbone,
        chosen=_names(plugins, chosen),
        overrides={**(overrides or {}), **({"plugins": files} if files else {})},
        assignments=assignments,
    )
    return config, plugins


def run_config(run: Path, files: Iterable[Path] = ()) -> tuple[RunConfig, Plugins]:
    """The saved configuration of a run folder, with its plugins and `files`; RunError when there is none."""
    file = run / "config.yaml"
    if not file.is_file():
        raise RunError(
            f"'{run}' is not a run folder: it has no config.yaml; `spf train --out {run}` makes one"
        )
    plugins = load([*plugin_files(file), *files])
    return read_run_config(file, plugins), plugins


def build(plugins: Plugins, name: str, kind: str) -> Any:
    """Build the component `name` of `kind` with its default options."""
    config: type[Component] = plugins.get(name, kind)
    return config().build()


def is_file(item: str) -> bool:
    """Whether a `--plugin` value is a file rather than a name."""
    return item.endswith(".py")


def plugin_files(file: Path | None) -> list[str]:
    """The plugin files that a configuration lists; none when it is unreadable: reading it again says why."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    listed = content.get("plugins") if isinstance(content, dict) else None
    return [str(Path(item)) for item in listed if isinstance(item, str)] if isinstance(listed, list) else []


def refuse_filled(out: Path, way_out: str) -> None:
    """RunError when `out` is a file or a folder with something in it."""
    if is_filled(out):
        raise RunError(f"output folder '{out}' is not empty; {way_out}")
    if out.is_file():
        raise RunError(f"'{out}' is a file; choose a folder")


def _names(plugins: Plugins, chosen: Sequence[str]) -> list[str]:
    return [name for item in chosen for name in (_provided(plugins, item) if is_file(item) else [item])]


def _provided(plugins: Plugins, file: str) -> list[str]:
    return [
        name
        for name, entry in plugins.entries.items()
        if entry.provider == str(Path(file)) and entry.config.kind in _SELECTABLE
    ]
