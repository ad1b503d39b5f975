"""What a config class of a plugin must be before spf takes it. Torch-free."""

import inspect
import json
import re
from typing import Any, get_args

from pydantic import ValidationError

from spf_core.errors import PluginError, did_you_mean, quoted
from spf_core.plugins.configs import (
    KINDS,
    Component,
    ControlMapConfig,
    Need,
    PresetConfig,
    TermConfig,
)

NEEDS = get_args(Need)
_KEBAB_CASE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def check_config(config: Any, provider: str) -> type[Component]:
    """The class itself; PluginError for the first thing about it that is wrong."""
    bases = [base for base in KINDS.values() if inspect.isclass(config) and issubclass(config, base)]
    if not bases:
        kinds = ", ".join(base.__name__ for base in KINDS.values())
        raise PluginError(
            f"'{provider}' registers {quoted(config)}, which is no config class; "
            f"register subclasses of {kinds}"
        )
    base = bases[0]
    kind, name = base.kind, config.name
    if type(name) is not str or not _KEBAB_CASE.fullmatch(name):
        found = "no `name`" if name == "" else f"the name {quoted(name)}"
        raise PluginError(
            f"{config.__name__} of '{provider}' has {found}; "
            f"give it one in kebab case, as in name = 'my-{kind}'"
        )
    if config.kind != kind:
        raise PluginError(
            f"'{name}' says that its kind is {quoted(config.kind)}, but {base.__name__} makes it a {kind}; "
            "leave `kind` as its base class has it"
        )
    _check_inherited(name, config, base)
    if issubclass(config, TermConfig | ControlMapConfig):
        _check_needs(name, config.needs)
    if issubclass(config, PresetConfig):
        _check_settings(name, config.settings)
    checked: type[Component] = config
    return checked


def describe(config: type[Component]) -> str:
    """The first line of the docstring; raises whatever comes in the way of describing the options, too."""
    for field in config.model_fields.values():
        if not field.is_required():
            str(field.get_default(call_default_factory=True, validated_data={}))
    json.dumps(config.model_json_schema())
    return summary_of(config)


def summary_of(config: type[Component]) -> str:
    """The first line of the docstring."""
    return (inspect.getdoc(config) or "").partition("\n")[0]


def _check_inherited(name: str, config: type[Component], base: type[Component]) -> None:
    """An option that every component of the kind has may get another default, but no other type."""
    for option, field in base.model_fields.items():
        now = config.model_fields[option]
        if now.annotation != field.annotation:
            raise PluginError(
                f"option '{option}' of '{name}' is {quoted(now.annotation)}; leave its type as "
                f"{base.__name__} has it, {quoted(field.annotation)}"
            )
        if not now.is_required() and now.default_factory is None:
            try:
                base.model_validate({option: now.default})
            except ValidationError:
                raise PluginError(
                    f"option '{option}' of '{name}' is {quoted(now.default)} by default, "
                    "which it may not be; give it a default that a user may set"
                ) from None


def _check_needs(name: str, needs: Any) -> None:
    if not isinstance(needs, frozenset):
        raise PluginError(
            f"`needs` of '{name}' is {quoted(needs)}; set it to a frozenset, as in frozenset({{'reference'}})"
        )
    for need in needs:
        if need not in NEEDS:
            hint = did_you_mean(str(need), NEEDS)
            raise PluginError(
                f"'{name}' needs {quoted(need)}, which does not exist.{hint} Needs: {', '.join(NEEDS)}"
            )


def _check_settings(name: str, settings: Any) -> None:
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise PluginError(
            f"`settings` of preset '{name}' is {quoted(settings)}; set it to a dict like a configuration file"
        )
    import yaml  # only here, as `spf --help` imports this module

    try:
        yaml.safe_dump(settings)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise PluginError(
            f"`settings` of preset '{name}' cannot be written as YAML: {reason}; "
            "use texts, numbers, lists and dicts alone"
        ) from None
