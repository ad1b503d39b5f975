"""From a component's config to the object that it configures, checked against the protocol of its kind."""

import inspect
from collections.abc import Callable
from typing import Any

from spf_core import interfaces
from spf_core.errors import ConfigError, PluginError, SpfError, quoted
from spf_core.plugins.answers import guarded, named
from spf_core.plugins.configs import PROTOCOL_OF, AdapterConfig, Component, label
from spf_core.plugins.constructing import constructed, package_of, refuse_lacking
from spf_core.plugins.containment import reason_of

PROTOCOLS: dict[str, type] = {kind: getattr(interfaces, name) for kind, name in PROTOCOL_OF.items()}


def built(config: Component | type[Component]) -> Any:
    """What `config.build()` returns; a class is built with its default options.

    PluginError, with the component's name and provider, when that of a plugin raises anything, and when
    what is returned lacks a member of the kind's protocol. `Unavailable` passes.
    """
    return constructed(config, lambda part: _conforming(config, part))


def _conforming(config: Component | type[Component], part: Any) -> Any:
    protocol = PROTOCOLS[config.kind]
    refuse_lacking(config, part, protocol.__name__, _members(protocol))
    for name, method in vars(protocol).items():
        if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_")):
            called = part if name == "__call__" else getattr(part, name)
            what = "what" if name == "__call__" else f"{name}() of what"
            _check_arguments(f"{what} build() of {label(config)} returns", called, method)
    return guarded(config, part)


def _check_arguments(what: str, called: Any, method: Callable[..., Any]) -> None:
    """PluginError where it cannot be called as spf calls the `method` of the protocol."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    by_name = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    try:
        signature = inspect.signature(called)
    except ValueError:  # of a builtin, which has none
        return
    try:
        signature.bind(*(each for each in parameters if each.name not in by_name), **by_name)
    except TypeError as error:
        shown = ", ".join(f"{each.name}=" if each.name in by_name else each.name for each in parameters)
        raise PluginError(
            f"{what} cannot be called with ({shown}): {error}; give it these parameters"
        ) from None


def attach(config: AdapterConfig, adapter: interfaces.Adapter, backbone: interfaces.Backbone) -> None:
    """Attach the built adapter; PluginError when it fails, ConfigError when it trains nothing."""
    quantized = getattr(backbone, "quantized", "none")
    if config.needs_plain_weights and quantized != "none":
        raise ConfigError(
            f"{label(config)} reads the base model's own weights, which backbone.quantize={quantized} packs; "
            "set backbone.quantize to none"
        )
    try:
        adapter.attach(backbone)
    except (Exception, SystemExit) as error:
        if not config.provided_by:
            raise
        reason = str(error) if isinstance(error, SpfError) else reason_of(error, package_of(config))
        raise PluginError(
            f"{label(config)} cannot be attached: {reason}. "
            "Choose another adapter or backbone, or report it to its provider"
        ) from error
    if not any(True for _ in adapter.parameters()):
        raise ConfigError(
            f"{label(config)} finds nothing to train on this backbone; choose other options or another"
        )
    if config.provided_by:
        with named(config, "cannot be used"):
            _refuse_unusable(adapter)


def _refuse_unusable(adapter: interfaces.Adapter) -> None:
    """PluginError for what `disabled` or `parameters` returns, before spf relies on it."""
    import torch

    if not hasattr(adapter.disabled(), "__enter__"):
        raise PluginError("disabled() returns no context manager; decorate it with contextlib.contextmanager")
    for parameter in adapter.parameters():
        if not isinstance(parameter, torch.nn.Parameter):
            raise PluginError(f"parameters() yields {quoted(parameter)}; yield torch.nn.Parameters")


def _members(protocol: type) -> list[str]:
    names = {**vars(protocol), **inspect.get_annotations(protocol)}
    return [name for name in names if name == "__call__" or not name.startswith("_")]
