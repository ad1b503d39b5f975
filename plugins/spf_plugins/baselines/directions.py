"""Terms that bind the direction in which the target's words move the prediction."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import Adapter, Backbone, StepState, TextName
from spf_core.predictions import reading
from spf_core.snapshots import snapshot


class SliderLoss:
    """|| eps_theta(z_t, text) - (eps_0(z_t, base) + eta (eps_0(z_t, target) - eps_0(z_t, empty))) ||^2.

    Concept Sliders (Gandikota et al. 2024, arXiv 2311.12092), where the tuned model reads the neutral text;
    with the complete text in its place, the base text keeps its meaning.
    """

    def __init__(self, text: TextName, eta: float) -> None:
        self.text, self.eta = text, eta

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        original = state.predictions.original
        moved = original("base") + self.eta * (original("target") - original("empty"))
        return F.mse_loss(state.predictions.tuned(self.text), moved)


class PureCCLoss:
    """|| eps_0(base) + lambda* R_t - eps_theta(complete) ||^2, which binds the direction alone.

    R_t = eps_1(target) - eps_1(empty) of the model that stage 1 left, R_c = eps_theta(complete) - eps_0(base)
    and lambda* = <R_c, R_t> / || R_t ||^2 for each row (PureCC, CVPR 2026), so that the term equals
    || R_c ||^2 (1 - cos^2(R_c, R_t)). The extractor eps_1 is a copy made when the term is first active.
    """

    def __init__(self) -> None:
        self._stage1: dict[str, Tensor] = {}
        self._extractor: Backbone | None = None

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar, the mean over rows, channels and positions."""
        target = self._extracted(state)
        change = state.predictions.tuned("complete") - state.predictions.original("base")
        return (along(change, target) - change).pow(2).mean()

    @torch.no_grad()
    def _extracted(self, state: StepState) -> Tensor:
        model = self._stage_1(state.backbone, state.adapter)
        z_t, timesteps, batch = state.noised.z_t_BCHW, state.noised.timesteps_B, state.batch
        target, empty = (
            model.predict(z_t, timesteps, reading(batch, text)).pred_BCHW for text in ("target", "empty")
        )
        return target - empty

    def _stage_1(self, backbone: Backbone, adapter: Adapter) -> Backbone:
        if not self._stage1:
            self._stage1 = adapter.state_dict()
        if self._extractor is None:
            self._extractor = snapshot(backbone, adapter, self._stage1)
        return self._extractor

    def state_dict(self) -> dict[str, Tensor]:
        """What stage 1 left, for a checkpoint."""
        return dict(self._stage1)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self._stage1 = dict(state)


def along(change_BCHW: Tensor, direction_BCHW: Tensor) -> Tensor:
    """The part of each row's change that points along its direction: lambda* R_t."""
    change, direction = change_BCHW.flatten(1), direction_BCHW.flatten(1)
    length = direction.pow(2).sum(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    projected = (change * direction).sum(1, keepdim=True) / length * direction
    return projected.view_as(change_BCHW)
