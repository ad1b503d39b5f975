"""A response enhancement for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import Register, ResponseConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class NewThing(ResponseConfig):
    """Pulls the clean estimate towards the target text, in the backbone's CLIP."""

    name = "new-thing"
    max_timestep: float = Field(
        0.6, gt=0, le=1, description="Only rows with t below this fraction of the noise schedule count."
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_cli.templates.response.term import NewThingTerm

        return NewThingTerm(self.max_timestep)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
