"""Reference paths: the original model on the base text, without gradient."""

from typing import Any

from spf_core.plugins.configs import ReferenceConfig
from spf_core.plugins.hookspecs import Register, hookimpl


class AdapterOff(ReferenceConfig):
    """The trained model with its adapter switched off: no second set of weights."""

    name = "adapter-off"

    def build(self) -> Any:
        """Return the reference path."""
        from spf_plugins.reference.paths import AdapterOffPath

        return AdapterOffPath()


class FrozenCopy(ReferenceConfig):
    """A copy of the original model beside the trained one: twice the weights, nothing to switch."""

    name = "frozen-copy"

    def build(self) -> Any:
        """Return the reference path."""
        from spf_plugins.reference.paths import FrozenCopyPath

        return FrozenCopyPath()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (AdapterOff, FrozenCopy):
        register(config)
