"""An exporter for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from spf_core.plugins import ExporterConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Exporter


class NewThing(ExporterConfig):
    """The trained tensors in one file, in half precision."""

    name = "new-thing"

    def build(self) -> "Exporter":
        """Return the exporter."""
        from spf_cli.templates.exporter.writer import write

        return write


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
