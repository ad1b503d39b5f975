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
from spf_core.errors import ConfigError, PluginError, SpfError, did_you_mean, unknown

GROUP = "spf"
FILE = "file"  # the version of a plugin that is a file


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
        if entry is None:
            raise unknown(kind or "plugin", name, self.of_kind(kind) if kind else self.entries)
        if kind is not None and entry.config.kind != kind:
            choices = ", ".join(self.of_kind(kind)) or "none"
            raise ConfigError(f"'{name}' is a {entry.config.kind}, not a {kind}. Installed: {choices}")
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
        except (Exception, SystemExit) as error:
            plugins.broken.append(Broken(name, _describe(error)))
    for file in files:
        try:
            _register(plugins, _import_file(Path(file)), str(file), FILE)
        except (Exception, SystemExit) as error:
            raise PluginError(f"plugin file '{file}' cannot be used: {_describe(error)}") from None
    return plugins


def _entry_points() -> Iterator[tuple[str, str, Any]]:
    found: dict[tuple[str, str], tuple[Distribution, Any]] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points:
            if entry_point.group == GROUP:
                found.setdefault((entry_point.name, entry_point.value), (distribution, entry_point))
    for (name, _), (distribution, entry_point) in sorted(found.items(), key=lambda item: item[0]):
        yield name, distribution.version, entry_point


def _register(plugins: Plugins, module: Any, provider: str, version: str) -> None:
    _check_hooks(module)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=provider)
    manager.check_pending()
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
            raise PluginError(f"its '{name}' lacks the decorator @spf_core.hookspecs.hookimpl")


def _checked(configs: Iterable[type[Component]], kind: str, provider: str) -> Iterator[type[Component]]:
    for config in configs:
        if not (inspect.isclass(config) and issubclass(config, KINDS[kind])):
            raise PluginError(
                f"'{provider}' registers {config!r}, which is not a subclass of {KINDS[kind].__name__}"
            )
        yield config


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError("it does not exist")
    spec = importlib.util.spec_from_file_location(f"spf_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _describe(error: BaseException) -> str:
    """One line; the kind of the error too, unless it is ours."""
    message = " ".join(str(error).split()) or "no message"
    return message if isinstance(error, SpfError) else f"{type(error).__name__}: {message}"
