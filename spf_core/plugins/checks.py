"""What the hooks and the config classes of a plugin must be before spf takes them. Torch-free."""

import inspect
import json
import logging
import re
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from spf_core.errors import PluginError, did_you_mean, quoted
from spf_core.plugins import hookspecs
from spf_core.plugins.configs import (
    KINDS,
    Component,
    ControlMapConfig,
    Need,
    PresetConfig,
    TermConfig,
)

NEEDS = get_args(Need)
_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # *args and **kwargs
_log = logging.getLogger("spf")
_KEBAB_CASE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def check_hooks(module: Any, provider: str) -> None:
    """Refuse a module without a hook that spf calls; warn of unknown ones beside those that it knows."""
    found = hookspecs.hooks_of(module)
    for name, hook in found.items():
        if name in hookspecs.HOOKS and not hasattr(hook, "spf_impl"):
            raise PluginError(f"its '{name}' lacks the decorator; write @spf_core.plugins.hookimpl above it")
        if name in hookspecs.HOOKS:
            _check_parameters(name, hook)
    known, listing = [name for name in found if name in hookspecs.HOOKS], ", ".join(hookspecs.HOOKS)
    for name in found.keys() - set(known):
        what = f"it defines the unknown hook '{name}'.{_hint(name)}"
        if not known:
            raise PluginError(f"{what} Hooks: {listing}")
        _log.warning("plugin '%s': %s It is left out", provider, what)
    if not known:
        raise PluginError(f"it has no hook, so it registers nothing. Hooks: {listing}")


def _check_parameters(name: str, hook: Any) -> None:
    """Refuse a hook with a parameter that spf does not give it."""
    given = list(inspect.signature(getattr(hookspecs, name)).parameters)
    for each in inspect.signature(hook).parameters.values():
        if each.name not in given and each.default is each.empty and each.kind not in _ANY_NUMBER:
            raise PluginError(
                f"its '{name}' has a parameter '{each.name}', which spf does not give it."
                f"{did_you_mean(each.name, given)} It may have: {', '.join(given)}"
            )


def _hint(hook: str) -> str:
    """What to write in place of an unknown hook; one hook registers components of every kind."""
    if hook.startswith("spf_register_"):
        return " Write spf_register(register), and call register(MyConfig) for each component."
    return did_you_mean(hook, hookspecs.HOOKS)


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
    for option, field in config.model_fields.items():
        if not field.is_required() and field.default_factory is None:
            _check_default(config.name, option, field)
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


def _check_default(name: str, option: str, field: FieldInfo) -> None:
    """The default passes the type and the range of its option; validators run with a user's values alone."""
    try:
        kind: Any = Annotated[field.annotation, Field(), *field.metadata]
        TypeAdapter(kind).validate_python(field.default)
    except ValidationError as error:
        raise PluginError(
            f"option '{option}' of '{name}' is {quoted(field.default)} by default, which its own type or "
            f"range refuses ({error.errors()[0]['msg']}); give it a default that a user may set"
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
