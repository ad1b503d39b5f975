"""Terms that bind the direction in which the target's words move the prediction."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.dual_path.predictions import reading
from spf_core.dual_path.snapshots import snapshot
from spf_core.interfaces import Adapter, Backbone, StepState, TextName


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
    """|| eps_theta(base) + lambda* R_t - eps_theta(complete) ||^2, which binds the direction alone.

    R_t = eps_1(target) - eps_1(empty) of the model that stage 1 left, R_c = eps_theta(complete) -
    eps_theta(base), with gradient through both, and lambda* = <R_c, R_t> / || R_t ||^2 for each row (PureCC,
    Liao et al. 2026, arXiv 2603.07561), so that the term equals || R_c ||^2 (1 - cos^2(R_c, R_t)). The
    published code (github.com/lzc-sg/PureCC) has a fixed `length` in the place of lambda*. Its stage 2 trains
    new weights on the original: here the adapter returns to those with which the run began.
    """

    def __init__(self, length: float | None = None) -> None:
        self.length = length
        self._first: dict[str, Tensor] = {}  # the adapter's weights before the run's first step
        self._stage1: dict[str, Tensor] = {}
        self._extractor: Backbone | None = None

    def begin_run(self, adapter: Adapter) -> None:
        """Keep the weights for stage 2."""
        self._first = adapter.state_dict()

    def begin_stage(self, adapter: Adapter) -> None:
        """Keep what stage 1 left for the extractor, and return to the weights of the run's start."""
        self._stage1 = adapter.state_dict()
        adapter.load_state_dict(self._first)
        self._first = {}

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar, the mean over rows, channels and positions."""
        direction = self._extracted(state)
        change = state.predictions.tuned("complete") - state.predictions.tuned("base")
        wanted = along(change, direction) if self.length is None else self.length * direction
        return F.mse_loss(change, wanted)

    @torch.no_grad()
    def _extracted(self, state: StepState) -> Tensor:
        model = self._stage_1(state.backbone, state.adapter)
        z_t, timesteps, batch = state.noised.z_t_BCHW, state.noised.timesteps_B, state.batch
        target, empty = (
            model.predict(z_t, timesteps, reading(batch, text)).pred_BCHW for text in ("target", "empty")
        )
        return target - empty

    def _stage_1(self, backbone: Backbone, adapter: Adapter) -> Backbone:
        if not self._stage1:  # a step outside of a training, such as a memory estimate
            self._stage1 = adapter.state_dict()
        if self._extractor is None:
            self._extractor = snapshot(backbone, adapter, self._stage1)
        return self._extractor

    def state_dict(self) -> dict[str, Tensor]:
        """What stage 2 will begin with or, once it has begun, what stage 1 left; for a checkpoint."""
        first = {f"first:{name}": tensor for name, tensor in self._first.items()}
        return {**first, **{f"stage1:{name}": tensor for name, tensor in self._stage1.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        kept: dict[str, dict[str, Tensor]] = {"first": {}, "stage1": {}}
        for key, tensor in state.items():
            stage, _, name = key.partition(":")
            kept[stage][name] = tensor
        self._first, self._stage1 = kept["first"], kept["stage1"]


def along(change_BCHW: Tensor, direction_BCHW: Tensor) -> Tensor:
    """The part of each row's change that points along its direction: lambda* R_t."""
    change, direction = change_BCHW.flatten(1), direction_BCHW.flatten(1)
    length = direction.pow(2).sum(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    projected = (change * direction).sum(1, keepdim=True) / length * direction
    return projected.view_as(change_BCHW)
