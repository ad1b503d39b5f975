"""A reference path for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from spf_core.plugins import ReferenceConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Reference


class NewThing(ReferenceConfig):
    """The same weights with the adapter off, a row at a time: slower, and less memory."""

    name = "new-thing"

    def build(self) -> "Reference":
        """Build the path."""
        from spf_cli.templates.reference.path import NewThingPath

        return NewThingPath()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
