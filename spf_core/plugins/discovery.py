"""Loading plugins: entry points of group `spf`, and single files given with `--plugin ./file.py`.

spf's own come first and keep their names. A plugin that misbehaves while it is imported or described is
skipped, whole, and named once.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, distributions
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from spf_core.plugins import hookspecs
from spf_core.plugins.configs import Component
from spf_core.plugins.checks import check_config, describe, summary_of
from spf_core.plugins.containment import SECONDS, contained, reason_of
from spf_core.errors import ConfigError, PluginError, did_you_mean, quoted, short, unknown

GROUP = OWN = "spf"
FILE = "file"  # the version of a plugin that is a file
MOST = 1000  # config classes of one hook; what gives more does not end


@dataclass(frozen=True)
class Entry:
    """One registered component config with the plugin that provides it."""

    config: type[Component]
    provider: str
    version: str
    summary: str = ""  # the first line of the config's docstring


@dataclass(frozen=True)
class Broken:
    """A plugin that was skipped, and why."""

    provider: str
    reason: str

    def __str__(self) -> str:
        return (
            f"plugin '{short(self.provider)}' is skipped: {self.reason}. "
            f"Fix or uninstall it, or silence this with SPF_DISABLED_PLUGINS={short(self.provider)}"
        )


@dataclass
class Plugins:
    """The registry of components by name; names are unique across kinds."""

    entries: dict[str, Entry] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Entries of one kind, by name."""
        return {name: entry for name, entry in sorted(self.entries.items()) if entry.config.kind == kind}

    def get(self, name: str, kind: str | None = None) -> type[Component]:
        """The config class called `name`; ConfigError with a suggestion when there is none (of that kind)."""
        entry = self.entries.get(name)
        if entry is None:
            raise unknown(kind or "plugin", name, self.of_kind(kind) if kind else self.entries)
        if kind is not None and entry.config.kind != kind:
            choices = ", ".join(self.of_kind(kind)) or "none"
            raise ConfigError(f"'{name}' is a {entry.config.kind}, not a {kind}. Installed: {choices}")
        return entry.config

    def add(self, config: type[Component], provider: str, version: str) -> None:
        """Register one config class; PluginError when its name is taken."""
        config.provided_by = f"plugin '{provider}' {version}"
        self.take([Entry(config, provider, version, summary_of(config))])

    def take(self, entries: Iterable[Entry]) -> None:
        """Take all entries of a plugin, or none of them: PluginError when a name is taken."""
        found = dict(self.entries)
        for entry in entries:
            name, taken = entry.config.name, found.get(entry.config.name)
            if taken is not None:
                both = f"'{name}' is provided by both '{taken.provider}' and '{entry.provider}'"
                own = not taken.config.provided_by
                raise PluginError(f"{both}, and spf's own keep their names; choose another" if own else both)
            found[name] = entry
        self.entries = found


@dataclass(frozen=True)
class _Source:
    """An entry point or a file that brings components; `own` are those of spf itself."""

    provider: str
    version: str
    package: str  # the top-level package of its modules
    load: Callable[[], Any]
    own: bool = False

    def __str__(self) -> str:
        name = short(self.provider, 200)
        return f"plugin file '{name}'" if self.version == FILE else f"plugin '{name}' {self.version}"

    def entries(self) -> list[Entry]:
        """Import the plugin and describe what it registers. PluginError of one line for whatever it does."""
        return contained(self._entries, seconds=None if self.own else SECONDS, package=self.package)

    def _entries(self) -> list[Entry]:
        found = []
        for config in _registered(self.load(), self.provider):
            summary = summary_of(config) if self.own else describe(config)
            found.append(Entry(config, self.provider, self.version, summary))
            config.provided_by = "" if self.own else str(self)
        return found


def load_plugins(files: Iterable[str | Path] = ()) -> Plugins:
    """Load every entry point (a broken one is recorded and skipped), then each of `files` (errors raise)."""
    plugins = Plugins()
    disabled = {name.strip() for name in os.environ.get("SPF_DISABLED_PLUGINS", "").split(",")}
    for source in _installed(plugins.broken):
        if source.provider in disabled:
            continue
        try:
            plugins.take(source.entries())
        except PluginError as error:
            plugins.broken.append(Broken(source.provider, str(error)))
    for file in map(Path, files):
        source = _Source(str(file), FILE, _module_of(file), partial(_import_file, file))
        try:
            plugins.take(source.entries())
        except PluginError as error:
            raise PluginError(f"plugin file '{short(str(file), 200)}' cannot be used: {error}") from None
    return plugins


def _installed(broken: list[Broken]) -> Iterator[_Source]:
    """Entry points, spf's own first, then by name; a package whose metadata cannot be read is recorded."""
    found: dict[tuple[bool, str, str], _Source] = {}
    for distribution in distributions():
        try:
            points = [point for point in distribution.entry_points if point.group == GROUP]
            own = bool(points) and distribution.name.lower() == OWN
            version = str(distribution.version) if points else ""
        except Exception as error:  # of a stranger's package, which may have nothing to do with spf
            place = getattr(distribution, "_path", None)
            broken.append(Broken(Path(str(place)).name, f"its metadata cannot be read: {reason_of(error)}"))
            continue
        for point in points:
            source = _Source(point.name, version, _package_of(point), point.load, own)
            found.setdefault((not own, point.name, point.value), source)
    for _, source in sorted(found.items(), key=lambda item: item[0]):
        yield source


def _package_of(point: EntryPoint) -> str:
    return point.value.partition(":")[0].partition(".")[0].strip()


def _registered(module: Any, provider: str) -> Iterator[type[Component]]:
    """Every config class that the hooks of a module return, checked."""
    _check_hooks(module)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=provider)
    manager.check_pending()
    if not manager.get_hookcallers(module):
        hooks = ", ".join(sorted(hookspecs.REGISTRATION_HOOKS.values()))
        raise PluginError(f"it has no hook, so it registers nothing. Hooks: {hooks}")
    names: set[str] = set()
    for kind, hook in hookspecs.REGISTRATION_HOOKS.items():
        for config in _returned(getattr(manager.hook, hook), hook):
            checked = check_config(config, kind, provider)
            if checked.name in names:
                raise PluginError(f"it registers '{checked.name}' twice")
            names.add(checked.name)
            yield checked


def _returned(caller: Any, hook: str) -> Iterator[Any]:
    results = caller()
    if len(results) < len(caller.get_hookimpls()):  # pluggy leaves None out
        raise PluginError(f"its '{hook}' returns None; return a list of config classes")
    for configs in results:
        if not isinstance(configs, Iterable) or isinstance(configs, str):
            raise PluginError(f"its '{hook}' returns {quoted(configs)}; return a list of config classes")
        given = list(islice(configs, MOST + 1))
        if len(given) > MOST:
            raise PluginError(f"its '{hook}' gives more than {MOST} config classes; return a list that ends")
        yield from given


def _check_hooks(module: Any) -> None:
    """Refuse hooks that would never be called: misspelt ones, and those without their decorator."""
    known = hookspecs.REGISTRATION_HOOKS.values()
    for name, value in vars(module).items():
        marked = hasattr(value, f"{GROUP}_impl")
        if name not in known and (marked or name.startswith("spf_register_")):
            listing = ", ".join(sorted(known))
            raise PluginError(
                f"it defines the unknown hook '{name}'.{did_you_mean(name, known)} Known: {listing}"
            )
        if name in known and not marked:
            raise PluginError(f"its '{name}' lacks the decorator @spf_core.plugins.hookspecs.hookimpl")


def _module_of(file: Path) -> str:
    return f"spf_file_{file.stem}"


class _UserFile(SourceFileLoader):
    """Leaves no __pycache__ in the folder of the user's file."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0) -> None:
        """Keep the bytecode nowhere."""


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError("it does not exist")
    if path.suffix != ".py":
        raise PluginError("it is not a Python file")
    name = _module_of(path)
    spec = importlib.util.spec_from_file_location(name, path, loader=_UserFile(name, str(path)))
    assert spec is not None, "a loader is given"
    assert spec.loader is not None, "a loader is given"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
