"""A control map for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import ControlMapConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import ControlMap


class NewThing(ControlMapConfig):
    """The difference of both paths' predictions, where the target gets attention."""

    name = "new-thing"
    # What the map reads of a step. The engine computes nothing else.
    needs = frozenset({"reference", "attention"})
    power: float = Field(1.0, gt=0, description="Exponent of the attention; higher ones make it sharper.")

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_cli.templates.control_map.control_map import NewThingMap

        return NewThingMap(self.power)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
