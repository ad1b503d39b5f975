"""A control map that remembers: where the two paths differed whenever a row was seen."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spf_core.helpers import stretch
from spf_core.interfaces import StepState


def relative_difference(res_BCHW: Tensor, ref_BCHW: Tensor) -> Tensor:
    """mean_channels | eps_res - eps_ref | over its spatial mean, B 1 H W: comparable between timesteps."""
    difference = (res_BCHW - ref_BCHW).abs().mean(1, keepdim=True).float()
    return difference / difference.mean((-2, -1), keepdim=True).clamp(min=1e-8)


class SfcmV2Map:
    """M = stretch(mean over visits of D / mean(D)), an exponential mean for each row.

    One timestep shows the response badly (at high noise hardly at all), many together show it well. Rows on
    the original model's own trajectory are other pictures than the training image and remembered apart.
    """

    def __init__(self, memory: float, low: float, high: float) -> None:
        self.memory, self.low, self.high = memory, low, high
        self.remembered: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]; only rows that read their target are remembered."""
        assert state.reference is not None
        difference = relative_difference(state.response.pred_BCHW, state.reference.pred_BCHW)
        kinds = torch.stack([state.batch.rows, state.noised.from_data_B.long(), state.has_target_B.long()])
        rows, from_data, reads_target = kinds.tolist()  # a single transfer from the device
        keys = [f"{row}.{'data' if data else 'own'}" for row, data in zip(rows, from_data, strict=True)]
        for key, seen, new in zip(keys, reads_target, difference, strict=True):
            if seen:
                self.remembered[key] = torch.lerp(new, self.remembered.get(key, new).to(new), self.memory)
        means = [self.remembered.get(key, new).to(new) for key, new in zip(keys, difference, strict=True)]
        return stretch(torch.stack(means), self.low, self.high)

    def state_dict(self) -> dict[str, Tensor]:
        """What is remembered, for a checkpoint."""
        return dict(self.remembered)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.remembered = dict(state)
