"""An adapter for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import AdapterConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Adapter


class NewThing(AdapterConfig):
    """A trained gain for every output channel of some linear layers."""

    name = "new-thing"
    targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), min_length=1, description="Endings of the layers' names."
    )

    def build(self) -> "Adapter":
        """Build the adapter, which is attached to no backbone yet."""
        from spf_cli.templates.adapter.adapter import NewThingAdapter

        return NewThingAdapter(self.targets)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
