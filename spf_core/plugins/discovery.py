"""Loading plugins: entry points of the groups `spf` and `spf.commands`, and files as in `--plugin ./file.py`.

spf's own come first and keep their names. A plugin that misbehaves while it is imported or described is
skipped, whole, and named once.
"""

import logging
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any, TypeVar

from spf_core.errors import ConfigError, PluginError, SpfError, did_you_mean, nearest, quoted, short, unknown
from spf_core.plugins.checks import check_config, check_hooks, describe, summary_of
from spf_core.plugins.configs import KINDS, Component
from spf_core.plugins.containment import SECONDS, contained, reason_of, remember_plugin
from spf_core.plugins.imports import failing_once, import_file, imported, module_of
from spf_core.plugins.modules import Module, manager_of
from spf_core.plugins.providers import OWN, Provider, State, refuse_other_spf

GROUP = "spf"
DISABLED = "SPF_DISABLED_PLUGINS"
COMMANDS = "spf.commands"  # its own group, as `spf --help` imports what is in it and no component
FILE = "file"  # the version of a plugin that is a file
MOST = 1000  # config classes of one plugin; one that gives more does not end
_log = logging.getLogger("spf")
_NO_CONTRACT = "Hooks and commands have no contract to check; run the package's tests"
T = TypeVar("T")


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
    package: str = ""  # the distribution that brings it, where its metadata can be read

    def __str__(self) -> str:
        return (
            f"plugin '{short(self.provider)}' is skipped: {self.reason}. "
            f"Fix or uninstall it, or silence this with {DISABLED}={short(self.provider)}"
        )


@dataclass
class Plugins:
    """The registry of components by name; names are unique across kinds."""

    entries: dict[str, Entry] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    providers: list[Provider] = field(default_factory=list)  # every plugin that was found

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Entries of one kind, by name."""
        return {name: entry for name, entry in sorted(self.entries.items()) if entry.config.kind == kind}

    def get(
        self, name: str, kind: str | None = None, *, among: Iterable[str] | None = None
    ) -> type[Component]:
        """The config class called `name`; ConfigError with a suggestion when there is none (of that kind).

        Where no kind is given, the suggestion is of the kinds `among`, by default of all.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise unknown(kind, name, self.of_kind(kind)) if kind else self._no_plugin(name, among)
        if kind is not None and entry.config.kind != kind:
            choices = ", ".join(self.of_kind(kind)) or "none"
            raise ConfigError(f"'{name}' is a {entry.config.kind}, not a {kind}. Installed: {choices}")
        return entry.config

    def _no_plugin(self, name: str, among: Iterable[str] | None) -> ConfigError:
        """The error for a name of no kind: its plugin is skipped, or there are others of the nearest kind."""
        for provider in self.providers:
            if provider.name in (name, f"spf-{name}") and provider.state != "loaded":
                why = "it failed:" if provider.state == "failed" else "it is disabled"
                return ConfigError(
                    f"plugin '{provider.name}' is not used, as {why} {provider.reason}; see spf plugins list"
                )
        kinds = [kind for kind in KINDS if among is None or kind in among]
        kind_of = {each: entry.config.kind for each, entry in self.entries.items()}
        known = [each for each, kind in kind_of.items() if kind in kinds]
        close = nearest(name, known, cutoff=0.6)
        if not close:
            return ConfigError(
                f"no plugin named '{short(name)}'; `spf plugins list` shows the names of each "
                f"{', '.join(kinds)}"
            )
        kind = kind_of[close[0]]
        return ConfigError(
            f"no plugin named '{short(name)}'.{did_you_mean(name, known)} "
            f"Installed of kind {kind}: {', '.join(self.of_kind(kind))}"
        )

    def add(self, config: type[Component], provider: str, version: str) -> None:
        """Register one config class; PluginError when its name is taken."""
        config.provided_by = f"plugin '{provider}' {version}"
        self.take([Entry(config, provider, version, summary_of(config))])

    def load(self, source: "_Source") -> None:
        """Import a plugin and take what it registers; PluginError where it cannot be used."""
        module, entries = source.loaded()
        self.take(entries)
        self.modules.append(module)

    def take(self, entries: Iterable[Entry]) -> None:
        """Take all entries of a plugin, or none of them: PluginError when a name is taken."""
        found = dict(self.entries)
        for entry in entries:
            name, taken = entry.config.name, found.get(entry.config.name)
            if taken is not None:
                both = f"'{name}' is provided by both '{taken.provider}' and '{entry.provider}'"
                own = not taken.config.provided_by
                raise PluginError(
                    f"{both}, and spf's own keep their names; choose another"
                    if own
                    else f"{both}; rename one of them"
                )
            found[name] = entry
        self.entries = found

    def call(self, hook: str, **given: Any) -> list[Any]:
        """What the plugins return from `hook`, in the order in which they were loaded; None is left out.

        PluginError names the plugin of others whose hook raises what is no SpfError.
        """
        results = [module.call(hook, given) for module in self.modules]
        return [result for result in results if result is not None]

    def collect(self, hook: str, read: Callable[[Any], list[T]], *, seconds: float, **given: Any) -> list[T]:
        """What `read` makes of what the plugins return from `hook`, in the order in which they were loaded.

        A plugin of others that fails in either, or takes longer than `seconds`, is left out with one warning.
        """
        found: list[T] = []
        for module in self.modules:
            try:
                found += module.call(hook, given, read=read, seconds=seconds) or []
            except SpfError as error:
                if module.own:
                    raise
                _log.warning("plugin '%s' is left out: %s", short(module.provider), error)
        return found


@dataclass(frozen=True)
class _Source:
    """An entry point or a file that brings components; `own` are those of spf itself."""

    provider: str
    version: str
    package: str  # the top-level package of its modules
    load: Callable[[], Any]
    own: bool = False
    distribution: str = ""  # that brings it; empty for a file

    def as_provider(self, state: State, reason: str = "") -> Provider:
        """How the registry lists it."""
        return Provider(self.provider, self.distribution, self.version, state, reason)

    def attempted(self, use: Callable[[], Any]) -> Provider:
        """How the registry lists it after `use`, which is left out where it is disabled."""
        if self.provider in _disabled():
            return self.as_provider("disabled", f"by ${DISABLED}")
        try:
            use()
        except PluginError as error:
            return self.as_provider("failed", str(error))
        return self.as_provider("loaded")

    def __str__(self) -> str:
        name = short(self.provider, 200)
        return f"plugin file '{name}'" if self.version == FILE else f"plugin '{name}' {self.version}"

    def module(self) -> Module:
        """Import the plugin. PluginError of one line for whatever it does."""
        return contained(self._module, seconds=None if self.own else SECONDS, package=self.package)

    def _module(self) -> Module:
        if not self.own:
            remember_plugin(self.package, str(self))
        return Module(imported(self.load, self.package), self.provider, self.package, self.own)

    def loaded(self) -> tuple[Module, list[Entry]]:
        """Import the plugin and describe what it registers. PluginError of one line for whatever it does."""
        return contained(self._loaded, seconds=None if self.own else SECONDS, package=self.package)

    def _loaded(self) -> tuple[Module, list[Entry]]:
        found, module = [], self._module()
        for config in _registered(module.module, self.provider):
            summary = summary_of(config) if self.own else describe(config)
            found.append(Entry(config, self.provider, self.version, summary))
            config.provided_by = "" if self.own else str(self)
        return module, found


def load_plugins(files: Iterable[str | Path] = ()) -> Plugins:
    """Load every entry point (a broken one is recorded and skipped), then each of `files` (errors raise)."""
    plugins = Plugins()
    with failing_once():
        for source in _installed(GROUP, plugins.broken):
            plugins.providers.append(source.attempted(partial(plugins.load, source)))
    plugins.broken += broken_of(plugins.providers)
    for file in map(Path, files):
        source = _Source(str(file), FILE, module_of(file), partial(import_file, file))
        _load_given(plugins, source, f"plugin file '{short(str(file), 200)}'")
    return plugins


def load_folder(plugins: Plugins, folder: Path) -> list[str]:
    """Load the plugin package whose sources lie in `folder`, and return the names of its components.

    Its `pyproject.toml` names the modules, as entry points of the group `spf`. A plugin that is
    installed and loaded already is taken as it is. PluginError where the folder holds none, or one
    that cannot be used.
    """
    points, version = _entry_points_of(folder)
    for place in (folder, folder / "src"):
        if place.is_dir() and str(place.resolve()) not in sys.path:
            sys.path.insert(0, str(place.resolve()))
    loaded = {provider.name for provider in plugins.providers if provider.state == "loaded"}
    for name, value in points.items():
        point = EntryPoint(name, value, GROUP)
        if name not in loaded:
            _load_given(
                plugins, _Source(name, version, _package_of(point), point.load), f"plugin '{short(name)}'"
            )
    components = [name for name, entry in plugins.entries.items() if entry.provider in points]
    if not components:
        raise PluginError(f"the package in '{folder}' registers no component. {_NO_CONTRACT}")
    return components


def _entry_points_of(folder: Path) -> tuple[dict[str, str], str]:
    """The entry points of the group `spf` in a folder's pyproject.toml by name, and the version there."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise PluginError(f"'{folder}' holds no plugin: it has no pyproject.toml; give a package's folder")
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        points = project.get("entry-points", {}).get(GROUP, {})
        found = {str(name): str(value) for name, value in points.items()}
        requires = [str(line) for line in project.get("dependencies", ())]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise PluginError(
            f"'{file}' cannot be read: {reason_of(error)}; correct it, as in what `spf plugins new` writes"
        ) from None
    if not found:
        raise PluginError(
            f"'{file}' registers no component: it has no [project.entry-points.{GROUP}]. {_NO_CONTRACT}"
        )
    try:
        refuse_other_spf(str(project.get("name", folder.name)), requires)
    except PluginError as error:
        raise PluginError(f"'{folder}' cannot be used: {error}") from None
    return found, str(project.get("version", "unknown"))


def _load_given(plugins: Plugins, source: "_Source", what: str) -> None:
    """Load what the user names; PluginError where it cannot be used."""
    try:
        plugins.load(source)
    except PluginError as error:
        raise PluginError(f"{what} cannot be used: {error}") from None
    plugins.providers.append(source.as_provider("loaded"))


def add_commands(app: Any) -> tuple[list[Provider], list[Broken]]:
    """Call `spf_register_commands(app)` of each entry point of `spf.commands`; all, and the broken."""
    broken: list[Broken] = []
    providers: list[Provider] = []
    for source in _installed(COMMANDS, broken):
        use = partial(_add_commands_of, source, app)
        providers.append(source.attempted(use))
    return providers, broken + broken_of(providers)


def _add_commands_of(source: _Source, app: Any) -> None:
    """PluginError, and nothing is added, where the plugin has no commands or takes the name of another."""
    module, hook = source.module(), "spf_register_commands"
    if hook not in vars(module.module):
        raise PluginError(f"it has no function {hook}; write one, with the decorator @hookimpl")
    check_hooks(module.module, source.provider)
    commands, groups = list(app.registered_commands), list(app.registered_groups)
    try:
        module.call(hook, {"app": app})
        known = {_name_of(each) for each in (*commands, *groups)}
        added = [*app.registered_commands[len(commands) :], *app.registered_groups[len(groups) :]]
        if taken := [name for name in map(_name_of, added) if name in known]:
            raise PluginError(f"there is a command '{taken[0]}' already; give the plugin's another name")
    except PluginError:
        app.registered_commands[:], app.registered_groups[:] = commands, groups
        raise


def _name_of(command: Any) -> str:
    """How a command or a group of commands is called, as typer names it."""
    own = command.name or getattr(getattr(command, "typer_instance", None), "info", command).name
    return str(own or command.callback.__name__.lower().replace("_", "-"))


def broken_of(providers: Iterable[Provider]) -> list[Broken]:
    """Those of the plugins that failed."""
    return [Broken(each.name, each.reason, each.package) for each in providers if each.state == "failed"]


def warn_of(plugins: Iterable[Broken]) -> None:
    """A line for each; one where the components and the commands of a package fail for the same reason."""
    for broken in plugins:
        fact = broken.package or broken.provider, broken.reason
        _log.warning("%s", broken, extra={"fact": fact})


def _installed(group: str, broken: list[Broken]) -> Iterator[_Source]:
    """Entry points, spf's own first, then by name. A package whose metadata cannot be read is recorded."""
    found: dict[tuple[bool, str, str], _Source] = {}
    for distribution in distributions():
        try:
            points = [point for point in distribution.entry_points if point.group == group]
            own = bool(points) and distribution.name.lower() == OWN
            version = str(distribution.version) if points else ""
        except Exception as error:  # of a stranger's package, which may have nothing to do with spf
            place = getattr(distribution, "_path", None)
            broken.append(Broken(Path(str(place)).name, f"its metadata cannot be read: {reason_of(error)}"))
            continue
        for point in points:
            load = point.load if own else partial(_load_supported, point, distribution)
            source = _Source(point.name, version, _package_of(point), load, own, distribution.name)
            found.setdefault((not own, point.name, point.value), source)
    yield from (source for _, source in sorted(found.items(), key=lambda item: item[0]))


def packages_of_others() -> list[tuple[str, str]]:
    """Name and version of each installed package but spf itself that brings plugins or commands, by name.

    Nothing is imported, and a package is named also where it is disabled or broken.
    """
    sources = [source for group in (GROUP, COMMANDS) for source in _installed(group, [])]
    return sorted({(source.distribution, source.version) for source in sources if not source.own})


def _disabled() -> set[str]:
    return {name.strip() for name in os.environ.get(DISABLED, "").split(",")}


def _load_supported(point: EntryPoint, distribution: Distribution) -> Any:
    """Import the plugin, unless its package is made for another spf."""
    refuse_other_spf(distribution.name, distribution.requires or ())
    return point.load()


def _package_of(point: EntryPoint) -> str:
    return point.value.partition(":")[0].partition(".")[0].strip()


def _registered(module: Any, provider: str) -> Iterator[type[Component]]:
    """Every config class that the module registers, checked."""
    check_hooks(module, provider)
    manager = manager_of(module, provider)
    given: list[Any] = []

    def register(config: type[Component]) -> None:
        if len(given) == MOST:
            raise PluginError(f"it registers more than {MOST} config classes; end its loop")
        given.append(config)

    for returned in manager.hook.spf_register(register=register):  # pluggy leaves None out
        raise PluginError(
            f"its 'spf_register' returns {quoted(returned)}, which spf does not read; "
            "call register(MyConfig) for each component"
        )
    names: set[str] = set()
    for config in given:
        checked = check_config(config, provider)
        if checked.name in names:
            raise PluginError(f"it registers '{checked.name}' twice; give one of them another name")
        names.add(checked.name)
        yield checked
