"""The mathematics of the map."""

import torch
from spf_core.helpers import attention_to, min_max
from spf_core.interfaces import StepState
from torch import Tensor


class NewThingMap:
    """M = norm(norm(mean_C |pred_res - pred_ref|) norm(A[target])^power), B 1 H W in [0, 1]."""

    def __init__(self, power: float) -> None:
        self.power = power

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]: 1 where the target may respond, 0 where the reference is kept."""
        assert state.reference is not None, "the map needs it"
        difference = (state.response.pred_BCHW - state.reference.pred_BCHW).abs().mean(1, keepdim=True)
        target = attention_to(state, state.response, state.response_text.target_BL)
        return min_max(min_max(difference.float()) * target.pow(self.power))
