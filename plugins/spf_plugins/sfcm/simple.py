"""Control maps without the SFCM: none, the target's own attention, the data's masks, counterfactuals."""

import torch
from torch import Tensor

from spf_core.helpers import middle_attention, min_max
from spf_core.interfaces import StepState


class UniformMap:
    """M = 0."""

    def __call__(self, state: StepState) -> Tensor:
        """Return zeros, B 1 H W."""
        return torch.zeros_like(state.noised.z_t_BCHW[:, :1])


class TargetAttentionMap:
    """M = norm(A[target]) of the response path, optionally thresholded."""

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]."""
        size = state.noised.z_t_BCHW.shape[-2:]
        target_B1L = state.batch.complete.target_BL[:, None]
        target = min_max(middle_attention(state.response.attention, target_B1L, state.grids, size))
        return target if self.threshold is None else (target >= self.threshold).to(target.dtype)


class MaskMap:
    """M = the mask that comes with the training image."""

    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]."""
        assert state.batch.mask_B1HW is not None, "the engine reads masks for maps that need them"
        return state.batch.mask_B1HW


class CounterfactualMap:
    """M = the region of the batch's counterfactuals: the same at every timestep, whatever was learnt."""

    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]."""
        assert state.batch.region_B1HW is not None, "the configuration guarantees counterfactuals"
        return state.batch.region_B1HW
