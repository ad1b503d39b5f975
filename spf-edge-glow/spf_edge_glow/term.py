"""The mathematics of the term."""

from spf_core.helpers import clean_estimate, row_mean, rows_below
from spf_core.interfaces import StepState
from torch import Tensor


class EdgeGlowTerm:
    """mean (1 - M) (z0_hat_res - z0_hat_ref)^2 over rows with t below the gate.

    At high noise the clean estimate shows no image, hence the gate.
    """

    def __init__(self, max_timestep: float) -> None:
        self.max_timestep = max_timestep

    def __call__(self, state: StepState) -> Tensor:
        """Return the unweighted scalar; 0 where no row of the batch passes the gate."""
        assert state.reference is not None, "the term needs it"
        assert state.map_B1HW is not None, "the term needs it"
        response = clean_estimate(state, state.response.pred_BCHW)
        reference = clean_estimate(state, state.reference.pred_BCHW)
        error_B = ((1 - state.map_B1HW) * (response - reference).pow(2)).mean((1, 2, 3))
        return row_mean(error_B, rows_below(state, self.max_timestep))
