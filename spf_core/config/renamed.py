"""Options that earlier versions had under another name. Torch-free."""

from collections.abc import Mapping
from typing import Any

from spf_core.config.merging import SLOTS, merge
from spf_core.errors import ConfigError, quoted
from spf_core.plugins.discovery import Plugins

RENAMED: dict[str, str] = {"dataset.keep": "dataset.cache"}


def with_new_names(raw: Mapping[str, Any], plugins: Plugins, *, saved: bool = False) -> dict[str, Any]:
    """The settings without old names of options.

    An old option that does nothing, as it is false or 0, is left out. Others get their new names in the
    settings of a `saved` run. Where a user writes them today, a ConfigError says the new name.
    """
    settings = dict(raw)
    renamed = {old: _nested(new) for old, new in RENAMED.items()}
    for old, given in {**renamed, **_replaced_by_components(plugins)}.items():
        section, _, option = old.partition(".")
        values = settings.get(section)
        if not (isinstance(values, Mapping) and option in values):
            continue
        settings[section] = {key: value for key, value in values.items() if key != option}
        if not (value := values[option]):
            continue
        if not saved:
            raise ConfigError(f"{old}={quoted(value)}: this option is now {_written(given, value)}")
        settings = merge(settings, _filled(given, value))
    return settings


def _replaced_by_components(plugins: Plugins) -> dict[str, dict[str, dict[str, Any]]]:
    """Options of the engine that a component has taken over, as its config class says in `replaces`.

    None stands for the old option's value.
    """
    slots = {kind: slot for slot, kind in SLOTS.items()}
    return {
        old: {slots[entry.config.kind]: {"name": name, option: None}}
        for name, entry in plugins.entries.items()
        if entry.config.kind in slots
        for old, option in entry.config.replaces.items()
    }


def _nested(path: str) -> dict[str, dict[str, Any]]:
    section, _, option = path.partition(".")
    return {section: {option: None}}


def _filled(given: Mapping[str, Mapping[str, Any]], value: Any) -> dict[str, Any]:
    return {
        section: {option: value if each is None else each for option, each in options.items()}
        for section, options in given.items()
    }


def _written(given: Mapping[str, Mapping[str, Any]], value: Any) -> str:
    """The settings as a user writes them with --set."""
    pairs = [
        f"{section}.{option}={each}"
        for section, options in _filled(given, value).items()
        for option, each in options.items()
    ]
    return " and ".join(pairs)
