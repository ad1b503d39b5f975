"""Modules of loaded plugins, whose hooks are called one by one. Torch-free."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from spf_core.errors import short
from spf_core.plugins import hookspecs
from spf_core.plugins.containment import contained


@dataclass(frozen=True)
class Module:
    """The module of a loaded plugin, for the hooks that are called later."""

    module: Any
    provider: str
    package: str
    own: bool

    def call(
        self,
        hook: str,
        given: Mapping[str, Any],
        *,
        read: Callable[[Any], Any] = lambda result: result,
        seconds: float | None = None,
    ) -> Any:
        """What `read` makes of what its `hook` returns; None where it has none, or returns None."""
        if hook not in vars(self.module):
            return None

        def run() -> Any:
            results = getattr(manager_of(self.module, self.provider).hook, hook)(**given)  # without None
            return read(results[0]) if results else None

        if self.own:
            return run()
        what = f"{hook} of plugin '{short(self.provider)}' failed"
        sooner = "compute it in a command, and show here what that wrote"
        return contained(run, what=what, seconds=seconds, sooner=sooner, package=self.package)


def manager_of(module: Any, provider: str) -> pluggy.PluginManager:
    """The hooks of one module, to be called."""
    manager = pluggy.PluginManager(hookspecs.hookspec.project_name)
    manager.add_hookspecs(hookspecs)
    manager.register(module, name=provider)
    return manager
