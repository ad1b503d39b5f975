"""A suite for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from spf_core.plugins import Register, SuiteConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Suite


class NewThing(SuiteConfig):
    """Round faces on a coloured background, with or without a hat."""

    name = "new-thing"

    def build(self) -> "Suite":
        """Build the suite."""
        from spf_cli.templates.suite.world import NewThingWorld

        return NewThingWorld()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
