"""Calling `build()` of a component, so that a fault names it. Torch-free."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from spf_core.errors import PluginError, SpfError, Unavailable
from spf_core.plugins.configs import Component, label
from spf_core.plugins.containment import contained, remember_used


def constructed(config: Component | type[Component], check: Callable[[Any], Any]) -> Any:
    """What `config.build()` returns, as `check` returns it; a class is built with its default options.

    PluginError, with the component's name and provider, when that of a plugin raises anything. `Unavailable`
    passes.
    """
    if not config.provided_by:
        return check(_build(config))
    remember_used(label(config))
    what = f"{label(config)} cannot be built"
    try:
        return contained(lambda: check(_build(config)), what=what, package=package_of(config))
    except Unavailable:
        raise
    except SpfError as error:
        if config.provided_by in str(error):
            raise
        raise PluginError(f"{what}: {error}") from error


def refuse_lacking(
    config: Component | type[Component], part: Any, protocol: str, members: Sequence[str]
) -> None:
    """PluginError for a class, and for an object that lacks a member of the kind's protocol."""
    if inspect.isclass(part):
        raise PluginError(f"build() of {label(config)} returns the class {part.__name__}; return an instance")
    missing = [name for name in members if not hasattr(part, name)]
    if missing:
        found = "None" if part is None else f"a {type(part).__name__}"
        raise PluginError(
            f"build() of {label(config)} returns {found}, which lacks {', '.join(missing)}; "
            f"return what spf_core.interfaces.{protocol} describes"
        )


def package_of(config: Component | type[Component]) -> str:
    """The top-level package of the component's modules."""
    return config.__module__.partition(".")[0]


def _build(config: Component | type[Component]) -> Any:
    return (config() if inspect.isclass(config) else config).build()
