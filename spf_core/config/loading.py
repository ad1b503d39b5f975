"""From preset, file, flags and `--set` to a validated run configuration: what wins over what. Torch-free."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)

from spf_core.config.merging import SLOTS, merge, parse_assignment
from spf_core.config.renamed import with_new_names
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, DataError, PluginError, SpfError, did_you_mean, quoted, short
from spf_core.plugins.configs import (
    AdapterConfig,
    BackboneConfig,
    Component,
    label,
)
from spf_core.plugins.containment import SECONDS, contained
from spf_core.plugins.discovery import Plugins
from spf_core.plugins.readers import reader_for, readers_of
from spf_core.utils.validation import explain
from spf_core.utils.yaml_text import read_yaml

SELECTABLE = (*SLOTS.values(), "loss", "preset")  # kinds that a run may name
_SLOT_OF_KIND = {kind: slot for slot, kind in SLOTS.items()}
# What terms declare that they need of such a component; without one that does, the component changes nothing.
_READ_BY_TERMS = {
    "reward": frozenset({"reward"}),
    "reference": frozenset({"reference", "original"}),
    "control-map": frozenset({"map"}),
}
_log = logging.getLogger("spf")
# What a flag such as --quick makes of the settings of preset and backbone: settings to merge over them.
Layer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def load_run_config(
    plugins: Plugins,
    *,
    preset: str | None = None,
    file: Path | None = None,
    backbone: str | None = None,
    chosen: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    below: Sequence[Layer] = (),
) -> RunConfig:
    """Merge defaults, preset, the backbone's wishes, `file`, `backbone` and `chosen` plugins, flags, `--set`.

    What comes later wins. The layers `below` lie right below `file`. `overrides` are the command's own flags
    as a nested mapping; `assignments` are `a.b=c` strings. Every user error ends here as a ConfigError of one
    line.
    """
    from_file = read_yaml(file) if file else {}
    with read_from(file):
        in_file = _preset_in(from_file, plugins)
    presets = [name for name in chosen if plugins.get(name, among=SELECTABLE).kind == "preset"]
    name = _one_preset([preset, *presets], in_file, default_preset(plugins))
    layers = _layers(plugins, from_file, backbone, chosen, overrides, assignments)
    preset_settings = merge({"preset": name}, _preset_settings(plugins, name))
    wanted = _backbone_settings(plugins, reduce(merge, layers, preset_settings))
    base = merge(preset_settings, wanted)
    for layer in below:
        base = merge(base, layer(base))
    try:
        config = _with_reader(resolve(reduce(merge, layers, base), plugins), plugins)
        _warn_of_unread(config, chosen, plugins)
        return config
    except ConfigError:
        if not _is_broken_by(from_file, base, layers[1:], plugins):
            raise
        with read_from(file):
            raise


def _warn_of_unread(config: RunConfig, chosen: Sequence[str], plugins: Plugins) -> None:
    """A warning for each chosen component that no term of the run reads."""
    for name in chosen:
        kind = plugins.get(name).kind
        needs = _READ_BY_TERMS.get(kind, frozenset())
        if needs and not config.needs & needs:
            losses = plugins.of_kind("loss")
            readers = [
                each for each, entry in losses.items() if needs & getattr(entry.config, "needs", frozenset())
            ]
            _log.warning(
                "no term of preset '%s' reads the %s '%s', so it changes nothing; add a loss that does, "
                "such as --plugin %s",
                config.preset,
                kind,
                name,
                " or --plugin ".join(readers[:3]),
            )


def _with_reader(config: RunConfig, plugins: Plugins) -> RunConfig:
    """The configuration with the reader of a plugin that recognises the data, so that the run records it.

    Where one of spf's own does, `reader` stays empty: the data is looked at again when it is read.
    """
    if config.data is None or config.reader is not None:
        return config
    try:
        found = reader_for(config.data, readers_of(plugins))
    except DataError:  # reading the data says it
        return config
    return config.model_copy(update={"reader": found}) if found and found.provided_by else config


def _layers(
    plugins: Plugins,
    from_file: Mapping[str, Any],
    backbone: str | None,
    chosen: Sequence[str],
    overrides: Mapping[str, Any] | None,
    assignments: Sequence[str],
) -> list[Mapping[str, Any]]:
    """What the user gives, in the order in which it wins."""
    if backbone is not None:
        plugins.get(backbone, "backbone")
    return [
        from_file,
        {} if backbone is None else {"backbone": backbone},
        *(_slot_of(plugin, plugins) for plugin in chosen),
        overrides or {},
        *map(parse_assignment, assignments),
    ]


def laid_over(
    saved: RunConfig,
    plugins: Plugins,
    *,
    preset: str | None = None,
    file: Path | None = None,
    backbone: str | None = None,
    chosen: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> RunConfig:
    """`saved` with what `load_run_config` takes laid over it; of presets only the name."""
    from_file = read_yaml(file) if file else {}
    with read_from(file):
        in_file = _preset_in(from_file, plugins)
    presets = [name for name in chosen if plugins.get(name, among=SELECTABLE).kind == "preset"]
    name = _one_preset([preset, *presets], in_file, saved.preset)
    layers = _layers(plugins, from_file, backbone, chosen, overrides, assignments)
    here = {"started_in": str(Path.cwd())}  # what is given starts from here, and so must the rest
    merged: Mapping[str, Any] = saved.model_dump(mode="json", context=here)
    for layer in layers:
        merged = merge(merged, layer)
    return resolve({**merged, "preset": name}, plugins)


@contextmanager
def read_from(file: Path | None) -> Iterator[None]:
    """Name `file`, if there is one, in a ConfigError over what it holds."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"'{short(str(file), 200)}': {error}" if file else str(error)) from None


def _is_broken_by(
    update: Mapping[str, Any], base: Mapping[str, Any], later: Sequence[Mapping[str, Any]], plugins: Plugins
) -> bool:
    """Whether `base` resolves until it is overridden by `update`, and no part of `later` mends it."""
    return _resolves(base, plugins) and not any(
        _resolves(reduce(merge, later[:count], merge(base, update)), plugins) for count in range(len(later))
    )


def _resolves(raw: Mapping[str, Any], plugins: Plugins) -> bool:
    try:
        resolve(raw, plugins)
    except SpfError:
        return False
    return True


def resolve(raw: Mapping[str, Any], plugins: Plugins, *, saved: bool = False) -> RunConfig:
    """Validate a merged mapping: components first, then the sections.

    What was `saved` by an earlier version is read under the new names of its options.
    """
    ready = with_new_names(raw, plugins, saved=saved)
    _refuse_unknown_keys(ready)
    ready["optimizer"] = _with_default_name(ready.get("optimizer", {}), "optimizer", plugins)
    for slot, kind in SLOTS.items():
        if ready.get(slot) is not None:
            ready[slot] = parse_component(plugins, kind, ready[slot], slot)
    ready["train"] = _with_trackers(ready.get("train") or {}, plugins)
    losses = ready.get("losses") or {}
    if not isinstance(losses, Mapping):
        raise ConfigError(f"losses: expected a mapping from loss names to options, got {quoted(losses)}")
    ready["losses"] = {name: _parse_loss(plugins, name, options) for name, options in losses.items()}
    try:
        return RunConfig.model_validate(ready, context={"plugins": plugins})
    except ValidationError as error:
        raise ConfigError(explain(error, "", RunConfig)) from None


def parse_component(plugins: Plugins, kind: str, value: Any, place: str) -> Component:
    """Turn `"name"` or `{"name": ..., option: ...}` into a config of `kind`."""
    options = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    name = options.pop("name", None)
    if not isinstance(name, str):
        way_out = f"; add {place}.name=NAME" if isinstance(value, Mapping) else ""
        raise ConfigError(f"{place}: expected the name of a {kind}, got {quoted(value)}{way_out}")
    config = plugins.get(name, kind)
    return contained(
        lambda: _validated(config, options, place),
        what=f"{label(config)} cannot read its options",
        seconds=SECONDS if config.provided_by else None,
        package=config.__module__.partition(".")[0],
    )


def _validated(config: type[Component], options: Mapping[str, Any], place: str) -> Component:
    """The component with its options, of which everything that a run reads and writes has been tried."""
    try:
        component = config.model_validate(options)
    except ValidationError as error:
        raise ConfigError(explain(error, place, config)) from None
    component.model_dump(mode="json")
    if isinstance(component, AdapterConfig):
        bool(component.tunes_texts)
    return component


def _parse_loss(plugins: Plugins, name: str, options: Any) -> Component:
    """`losses.NAME` is a mapping of options, `true` for the defaults, or `false` for weight 0."""
    place = f"losses.{short(name, 40)}"
    if options is None or isinstance(options, bool):
        options = {"weight": 0.0} if options is False else {}
    if not isinstance(options, Mapping):
        raise ConfigError(
            f"{place}: expected options, true or false, got {quoted(options)}; see {place}.weight"
        )
    if options.get("name", name) != name:
        raise ConfigError(f"{place}.name: the loss is named by its key; write losses.NAME for another")
    return parse_component(plugins, "loss", {**options, "name": name}, place)


def _with_default_name(value: Any, kind: str, plugins: Plugins) -> Any:
    """The component of a slot that is never empty: options without a name are those of the default one."""
    if isinstance(value, Mapping) and "name" not in value:
        return {"name": _default_of(kind, plugins), **value}
    return value


def _with_trackers(train: Any, plugins: Plugins) -> Any:
    """The section with its trackers parsed; pydantic refuses later what is no section."""
    if not isinstance(train, Mapping) or "trackers" not in train:
        return train
    given, place = train["trackers"], "train.trackers"
    if not isinstance(given, list | tuple):
        raise ConfigError(f"{place}: expected a list of trackers, got {quoted(given)}")
    found = [
        parse_component(plugins, "tracker", each, f"{place}.{number}") for number, each in enumerate(given)
    ]
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{place}: '{name}' is named twice; leave one of them out")
    return {**train, "trackers": found}


def _one_preset(names: Sequence[str | None], in_file: str | None, default: str) -> str:
    """The preset that is chosen by one of the names, or else the file's, or the default."""
    chosen = sorted({name for name in names if name is not None})
    if len(chosen) > 1:
        raise ConfigError(f"presets '{chosen[0]}' and '{chosen[1]}' are both chosen; a run has one")
    return chosen[0] if chosen else default if in_file is None else in_file


def default_preset(plugins: Plugins) -> str:
    """The preset of runs that name none; ConfigError where no plugin brings one."""
    return _default_of("preset", plugins)


def _default_of(kind: str, plugins: Plugins) -> str:
    """The component that says it is the default of its kind; spf's own before others."""
    found = [
        entry.config for entry in plugins.of_kind(kind).values() if getattr(entry.config, "default", False)
    ]
    if not found:
        raise ConfigError(f"no default {kind} is installed; name one with --plugin")
    return min(found, key=lambda config: bool(config.provided_by)).name


def _preset_in(settings: dict[str, Any], plugins: Plugins) -> str | None:
    """Take the preset out of a file's settings; ConfigError when there is none of that name."""
    name = settings.pop("preset", None)
    if not isinstance(name, str | None):
        raise ConfigError(f"preset: expected the name of a preset, got {quoted(name)}")
    if name is not None:
        plugins.get(name, "preset")
    return name


def _preset_settings(plugins: Plugins, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = getattr(plugins.get(name, "preset"), "settings", {})
    return settings


def _backbone_settings(plugins: Plugins, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the chosen backbone wants in place of the preset's; nothing where it cannot be one.

    A backbone that is not installed is refused later, where it is known who chose it.
    """
    backbone, adapter = (_name_of(raw.get(slot)) for slot in ("backbone", "adapter"))
    if backbone is None or adapter is None or backbone not in plugins.of_kind("backbone"):
        return {}
    chosen = plugins.get(backbone, "backbone")
    if not issubclass(chosen, BackboneConfig):
        return {}
    what = f"settings_for('{short(adapter)}') of {label(chosen)} failed"
    settings = contained(lambda: chosen.settings_for(adapter), what=what)
    if not isinstance(settings, Mapping):
        raise PluginError(f"{what}: it returns {quoted(settings)}; return a dict")
    return dict(settings)


def _name_of(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, Mapping) else value
    return name if isinstance(name, str) else None


def _slot_of(name: str, plugins: Plugins) -> dict[str, Any]:
    kind = plugins.get(name, among=SELECTABLE).kind
    if kind == "preset":
        return {}
    if kind == "loss":
        return {"losses": {name: {}}}
    if kind in _SLOT_OF_KIND:
        return {_SLOT_OF_KIND[kind]: name}
    if kind == "tracker":
        raise ConfigError(f"'{name}' is a tracker; a run may have several: set train.trackers to [{name}]")
    raise ConfigError(f"'{name}' is a {kind}; --plugin fills {', '.join(_SLOT_OF_KIND)}, loss or preset")


def _refuse_unknown_keys(raw: Mapping[str, Any]) -> None:
    for key in raw:
        if key not in RunConfig.model_fields:
            keys = ", ".join(RunConfig.model_fields)
            raise ConfigError(
                f"unknown key '{short(key)}'.{did_you_mean(key, RunConfig.model_fields)} Keys: {keys}"
            )
