"""Plugins, and run configurations from what a user names. Torch-free."""

import logging
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spf_core.config.loading import SELECTABLE, Layer, laid_over, load_run_config
from spf_core.config.quick import given_up, quick_settings
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, RunError
from spf_core.plugins import discovery
from spf_core.plugins.discovery import Plugins, warn_of
from spf_core.plugins.trust import PLUGINS_FOLDER, how_to_allow, is_allowed
from spf_core.runs.run_lock import is_filled
from spf_core.runs.saved_config import CONFIG_FILE, saved_config
from spf_core.utils.paths import expanded
from spf_core.utils.yaml_text import read_yaml

_log = logging.getLogger("spf")


def load_plugins(files: Iterable[str | Path] = ()) -> Plugins:
    """Load all installed plugins and the plugin files `files`, each once.

    A plugin that cannot be used is skipped with one warning in the log. PluginError for such a file.
    """
    plugins = discovery.load_plugins(dict.fromkeys(str(Path(file)) for file in files))
    warn_of(plugins.broken)
    return plugins


def load_config(
    *,
    preset: str | None = None,
    file: Path | None = None,
    backbone: str | None = None,
    chosen: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    quick: bool = False,
    profile: Callable[[Callable[..., RunConfig]], Layer] | None = None,
) -> tuple[RunConfig, Plugins]:
    """Load plugins and files among `chosen`, and those of `file` that may run; resolve the configuration.

    A plugin file that both name is loaded; which of its components are used, `file` says. A line says what
    `quick` gives up. `profile` gives one more layer below `file`, and gets the function that lays the user's
    settings over layers.
    """
    given = [Path(item) for item in chosen if is_file(item)]
    named = {item.name for item in map(Path, plugin_files(file))}
    files = [*map(str, given), *permitted(file, given, needed=True)]
    plugins = load_plugins(files)
    chosen = [item for item in chosen if not (is_file(item) and Path(item).name in named)]
    resolved = partial(
        load_run_config,
        plugins,
        preset=preset,
        file=file,
        backbone=backbone,
        chosen=_names(plugins, chosen),
        overrides={**(overrides or {}), **({"plugins": files} if files else {})},
        assignments=assignments,
    )
    below: tuple[Layer, ...] = (quick_settings,) if quick else ()
    if profile:
        quicker = below
        below += (profile(lambda layer: resolved(below=(*quicker, layer))),)
    config = resolved(below=below)
    if quick:
        note("quick", given_up(resolved(), config) or "nothing of these settings can be quicker")
    return config, plugins


def run_config(run: Path, files: Sequence[Path] = (), *, needed: bool = False) -> tuple[RunConfig, Plugins]:
    """The saved configuration of a run folder, with `files` and those of its plugins that may run.

    RunError when the folder holds no run (training data has a line of its own), or when what only training
    reads is `needed` too and is not there.
    """
    refuse_data(run)
    plugins = load_plugins([*files, *permitted(run / CONFIG_FILE, files, needed=needed)])
    return saved_config(run, plugins, trains=needed), plugins


def refuse_data(folder: Path) -> None:
    """RunError when a folder that is given as a run holds training data."""
    from spf_core.data import holds_data

    if not (folder / CONFIG_FILE).is_file() and holds_data(folder):
        train = f"spf train --data {shlex.quote(str(folder))}"
        raise RunError(
            f"'{folder}' is not a run folder, but training data; train on it first, with `{train}`"
        )


def given_again(
    saved: RunConfig, plugins: Plugins, *, file: Path | None, chosen: Sequence[str], **given: Any
) -> RunConfig:
    """The configuration of a run with options of `spf train` laid over it; its plugin files stay."""
    named = {Path(item).name for item in (*plugin_files(file), *saved.plugins)}
    chosen = [item for item in chosen if not (is_file(item) and Path(item).name in named)]
    return laid_over(saved, plugins, file=file, chosen=_names(plugins, chosen), **given)


def build(plugins: Plugins, name: str, kind: str) -> Any:
    """Build the component `name` of `kind` with its default options."""
    from spf_core.plugins.building import built

    return built(plugins.get(name, kind))


def is_file(item: str) -> bool:
    """Whether a `--plugin` value is a file rather than a name."""
    return item.endswith(".py")


def plugin_files(file: Path | None) -> list[str]:
    """The plugin files that a configuration lists; none when it is unreadable: reading it again says why."""
    try:
        listed = read_yaml(file).get("plugins") if file else None
    except ConfigError:
        return []
    return (
        [str(Path(expanded(item))) for item in listed if isinstance(item, str)]
        if isinstance(listed, list)
        else []
    )


def permitted(file: Path | None, given: Sequence[Path], *, needed: bool) -> list[str]:
    """The plugin files that `file` names, besides those `given`, and that may run.

    A file is code, and `file` may come from anybody: only what lies in a folder that the user allows runs.
    Of the others there is a warning or, when they are `needed`, a RunError, with the way out.
    """
    known, found = {item.name for item in given}, []
    for named in plugin_files(file) if file else []:
        copy = file.parent / PLUGINS_FOLDER / Path(named).name if file else Path(named)
        place = copy if copy.is_file() else Path(named)
        if place.name in known:
            continue
        if is_allowed(place):
            found.append(str(place))
        elif needed:
            raise RunError(f"'{file}' needs the plugin file {how_to_allow(place)}")
        else:
            _log.warning("'%s' is read without the plugin file %s", file, how_to_allow(place))
    return list(dict.fromkeys(found))


def refuse_filled(out: Path, way_out: str) -> None:
    """RunError when `out` is a file or a folder with something in it."""
    if is_filled(out):
        raise RunError(f"output folder '{out}' is not empty; {way_out}")
    if out.is_file():
        raise RunError(f"'{out}' is a file; choose a folder")


def refuse_existing(out: Path, overwrite: bool) -> None:
    """RunError when `out` is a folder, or a file that may not be replaced."""
    if out.is_dir():
        raise RunError(f"'{out}' is a folder; give --out a file name such as {out / 'grid.png'}")
    if out.exists() and not overwrite:
        raise RunError(f"'{out}' exists; choose another --out or add --overwrite")


def note(label: str, message: str) -> None:
    """Log what a choice of the user's brings about; the command line shows `label: message`."""
    _log.info(message, extra={"label": label})


def _names(plugins: Plugins, chosen: Sequence[str]) -> list[str]:
    return [name for item in chosen for name in (_provided(plugins, item) if is_file(item) else [item])]


def _provided(plugins: Plugins, file: str) -> list[str]:
    return [
        name
        for name, entry in plugins.entries.items()
        if entry.provider == str(Path(file)) and entry.config.kind in SELECTABLE
    ]
