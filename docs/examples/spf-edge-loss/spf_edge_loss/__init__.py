"""A loss term for spf: edges stay where they were, outside the control map. Torch-free."""

from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class EdgeAlignment(LossConfig):
    """Edges of the one-step clean estimate stay as the reference's outside the control map."""

    name = "edge-alignment"
    needs = frozenset({"reference", "map"})
    max_timestep: float = Field(
        0.6, gt=0, le=1, description="only rows with t below this fraction of the schedule"
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_edge_loss.edges import EdgeAlignmentLoss

        return EdgeAlignmentLoss(self.max_timestep)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(EdgeAlignment)
