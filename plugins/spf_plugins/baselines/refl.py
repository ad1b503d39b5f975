"""ReFL: feedback of a reward on a late step of its own sampling (Xu et al. 2023, arXiv 2304.05977)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.interfaces import StepState
from spf_core.interfaces.types import Conditioning, index


class ReflLoss:
    """relu(margin - r(x0_hat)): some rows are drawn from noise, without gradient up to one of the last steps.

    There the clean image is estimated in one step with gradient, decoded and judged.
    """

    def __init__(self, rows: int, steps: int, last: int, margin: float) -> None:
        if last >= steps:
            raise ConfigError(
                f"losses.reward-feedback: last={last} is not below steps={steps}; "
                f"set it to {steps - 1} or less"
            )
        self.rows, self.steps, self.last, self.margin = rows, steps, last, margin

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        assert state.reward is not None, "the configuration guarantees a reward"
        rows = torch.arange(min(self.rows, len(state.batch.ids)), device=state.noised.z_t_BCHW.device)
        texts, prompts = index(state.predictions.text("complete"), rows), state.batch.prompts[: len(rows)]
        stop = self.steps - 1 - int(torch.randint(self.last, (), generator=state.generator))
        noise = torch.randn(len(rows), *state.noised.z_t_BCHW.shape[1:], generator=state.generator)
        z_t, t = self._sampled(state, texts, noise.to(rows.device), stop)
        pred = state.backbone.predict(z_t, t, texts).pred_BCHW
        estimate = state.backbone.noise.clean(z_t, pred, t)
        rewards = state.reward(state.backbone, state.backbone.decode(estimate), prompts)
        return F.relu(self.margin - rewards).mean()

    @torch.no_grad()
    def _sampled(
        self, state: StepState, texts: Conditioning, z_t: Tensor, stop: int
    ) -> tuple[Tensor, Tensor]:
        """The state before sampler step `stop`, drawn by the tuned model, and its timesteps."""
        sampler = state.backbone.noise.sampler(self.steps)
        for place, t in enumerate(sampler.timesteps_S[:stop]):
            pred = state.backbone.predict(z_t, t.expand(len(z_t)), texts).pred_BCHW
            z_t = sampler.step(pred, place, z_t)
        return z_t, sampler.timesteps_S[stop].expand(len(z_t))
