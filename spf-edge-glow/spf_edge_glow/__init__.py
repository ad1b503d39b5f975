"""A loss term for spf. spf imports this module at every start, so it is free of torch."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class EdgeGlow(LossConfig):
    """The clean estimate stays as the reference path's outside the control map."""

    name = "edge-glow"
    # What the term reads of a step. The engine computes nothing else.
    needs = frozenset({"reference", "map"})
    max_timestep: float = Field(
        0.6, gt=0, le=1, description="Only rows with t below this fraction of the noise schedule count."
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_edge_glow.term import EdgeGlowTerm

        return EdgeGlowTerm(self.max_timestep)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(EdgeGlow)
