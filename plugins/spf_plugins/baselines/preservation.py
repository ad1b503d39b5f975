"""Prior preservation: in some place the tuned model must predict what the original predicts."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import StepState, TextName


class OutputPreservationLoss:
    """mean (eps_theta(z_t, text) - eps_theta0(z_t, text))^2: same image, same z_t and t, every step.

    Under the base text it is ai-toolkit's differential output preservation (the base text is its caption
    with the trigger left out), under the empty text its blank prompt preservation.
    """

    def __init__(self, text: TextName) -> None:
        self.text = text

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        return F.mse_loss(state.predictions.tuned(self.text), state.predictions.original(self.text))


class MaskedPriorLoss:
    """mean_HW (1 - M) / mean(1 - M) (eps_theta(z_t, complete) - eps_theta0(z_t, complete))^2.

    OneTrainer's masked prior preservation: both models read the complete text, so the original's own
    rendering of the target is kept outside the mask. The mask is normalised for every row.
    """

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        assert state.map_B1HW is not None
        outside = 1 - state.map_B1HW
        difference = state.predictions.tuned("complete") - state.predictions.original("complete")
        share = outside.mean((1, 2, 3)).clamp(min=torch.finfo(torch.float16).eps)
        return ((outside * difference.pow(2)).mean((1, 2, 3)) / share).mean()


class ClassImagesLoss:
    """mean (eps - eps_theta(z'_t, t, base))^2 with z'_t noised from the original's own pictures.

    DreamBooth's prior preservation (Ruiz et al. 2023), with the row's noise and t.
    """

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        clean = state.batch.class_BCHW
        assert clean is not None, "the engine draws class images for terms that need them"
        process, timesteps_B = state.backbone.noise, state.noised.timesteps_B
        noise = torch.randn(clean.shape, generator=state.generator).to(clean)
        z_t = process.noised(clean, noise, timesteps_B)
        output = state.backbone.predict(z_t, timesteps_B, state.predictions.text("base"))
        expected = process.expected(clean, noise, timesteps_B)
        return process.error(output.pred_BCHW, expected, timesteps_B).mean()
