"""Edges of the one-step clean estimate."""

from spf_core.helpers import clean_estimate, rows_below
from spf_core.interfaces import StepState
from torch import Tensor


def edges(z_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbours, across columns (B C H W-1) and across rows (B C H-1 W)."""
    return z_BCHW.diff(dim=3), z_BCHW.diff(dim=2)


class EdgeAlignmentLoss:
    """mean (1 - M) |edges(z0_hat_res) - edges(z0_hat_ref)| over rows with t below the gate.

    z0_hat = (z_t - sqrt(1 - abar) eps) / sqrt(abar); at high noise it shows no edges, hence the gate.
    """

    def __init__(self, max_timestep: float) -> None:
        self.max_timestep = max_timestep

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; 0 when no row of the batch passes the gate."""
        assert state.reference is not None
        assert state.map_B1HW is not None
        gate_B111 = rows_below(state, self.max_timestep).view(-1, 1, 1, 1)
        outside = (1 - state.map_B1HW) * gate_B111
        response, reference = (
            edges(clean_estimate(state, path.pred_BCHW)) for path in (state.response, state.reference)
        )
        across = outside[..., 1:] * (response[0] - reference[0]).abs()
        down = outside[..., 1:, :] * (response[1] - reference[1]).abs()
        return across.mean() + down.mean()
