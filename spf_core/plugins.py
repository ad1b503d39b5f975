"""Loading plugins: entry points of group `spf`, and single files given with `--plugin ./file.py`."""

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from spf_core import hookspecs
from spf_core.components import KINDS, Component
from spf_core.errors import PluginError, unknown

GROUP = "spf"


@dataclass(frozen=True)
class Entry:
    """One registered component config with the plugin that provides it."""

    config: type[Component]
    provider: str
    version: str

    @property
    def summary(self) -> str:
        """First line of the config's docstring."""
        return (inspect.getdoc(self.config) or "").partition("\n")[0]


@dataclass(frozen=True)
class Broken:
    """A plugin that was skipped, and why."""

    provider: str
    reason: str

    def __str__(self) -> str:
        return (
            f"plugin '{self.provider}' is skipped: {self.reason}. "
            f"Fix or uninstall it, or silence this with SPF_DISABLED_PLUGINS={self.provider}"
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
        if entry is None or (kind is not None and entry.config.kind != kind):
            raise unknown(kind or "plugin", name, self.of_kind(kind) if kind else self.entries)
        return entry.config

    def add(self, config: type[Component], provider: str, version: str) -> None:
        """Register one config class; PluginError when its name is missing or taken."""
        if not config.name:
            raise PluginError(f"{config.__name__} of '{provider}' has no `name`")
        taken = self.entries.get(config.name)
        if taken is not None:
            raise PluginError(f"'{config.name}' is provided by both '{taken.provider}' and '{provider}'")
        self.entries[config.name] = Entry(config, provider, version)


def load_plugins(files: Iterable[str | Path] = ()) -> Plugins:
    """Load every entry point (a broken one is recorded and skipped), then each of `files` (errors raise)."""
    plugins = Plugins()
    disabled = {name.strip() for name in os.environ.get("SPF_DISABLED_PLUGINS", "").split(",")}
    for name, version, entry_point in _entry_points():
        if name in disabled:
            continue
        try:
            _register(plugins, entry_point.load(), name, version)
        except Exception as error:
            plugins.broken.append(Broken(name, f"{type(error).__name__}: {_one_line(error)}"))
    for file in files:
        path = Path(file)
        _register(plugins, _import_file(path), str(path), "file")
    return plugins


def _entry_points() -> Iterator[tuple[str, str, Any]]:
    found: dict[str, tuple[Distribution, Any]] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points:
            if entry_point.group == GROUP:
                found.setdefault(entry_point.name, (distribution, entry_point))
    for name in sorted(found):
        distribution, entry_point = found[name]
        yield name, distribution.version, entry_point


def _register(plugins: Plugins, module: Any, provider: str, version: str) -> None:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=provider)
    manager.check_pending()
    _refuse_unknown_hooks(module)
    staged = [
        config
        for kind, hook in hookspecs.REGISTRATION_HOOKS.items()
        for configs in getattr(manager.hook, hook)()
        for config in _checked(configs, kind, provider)
    ]
    before = dict(plugins.entries)
    try:
        for config in staged:
            plugins.add(config, provider, version)
    except PluginError:
        plugins.entries = before
        raise


def _refuse_unknown_hooks(module: Any) -> None:
    known = set(hookspecs.REGISTRATION_HOOKS.values())
    for name in vars(module):
        if name.startswith("spf_register_") and name not in known:
            raise PluginError(f"it defines the unknown hook '{name}'. Known: {', '.join(sorted(known))}")


def _checked(configs: Iterable[type[Component]], kind: str, provider: str) -> Iterator[type[Component]]:
    for config in configs:
        if not (inspect.isclass(config) and issubclass(config, KINDS[kind])):
            raise PluginError(f"'{provider}' registers {config!r}, which is not a subclass of {KINDS[kind].__name__}")
        yield config


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(f"plugin file '{path}' does not exist")
    spec = importlib.util.spec_from_file_location(f"spf_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file '{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"plugin file '{path}' cannot be imported: {type(error).__name__}: {_one_line(error)}") from None
    return module


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
