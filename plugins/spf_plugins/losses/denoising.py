"""The denoising error, over the whole image or where the target responds."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.dual_path.noising import plain_error
from spf_core.interfaces import StepState


def row_mean(values_B: Tensor, rows_B: Tensor) -> Tensor:
    """Mean over the rows that count; 0 (with gradient) when none does."""
    return (values_B * rows_B).sum() / rows_B.sum().clamp(min=1)


def min_snr_weight(abar_B: Tensor, gamma: float) -> Tensor:
    """min(SNR, gamma) / SNR, the factor of a squared difference in eps (Hang et al. 2023, arXiv 2303.09556).

    Backbones predict eps whatever they were trained on, and a squared difference in v is one in eps divided
    by abar. So this is also their min(SNR, gamma) / (SNR + 1) for v. At SNR = 0 the factor is 1.
    """
    snr_B = abar_B / (1 - abar_B)
    return (gamma / snr_B).clamp(max=1)


def space_weight(abar_B: Tensor, space: str) -> Tensor:
    """What a squared difference in eps is multiplied with to be one in `noise`, `velocity` or `image`, B.

    For the same z_t a difference in eps is one of 1 / sqrt(abar) times that size in v, and of
    sqrt((1 - abar) / abar) times that size in the clean image.
    """
    return {"noise": torch.ones_like(abar_B), "velocity": 1 / abar_B, "image": (1 - abar_B) / abar_B}[space]


class DenoisingLoss:
    """mean || eps - eps_theta(z_t, t, complete) ||^2 over the rows that teach, of v where v is predicted."""

    def __init__(self, min_snr_gamma: float | None) -> None:
        self.min_snr_gamma = min_snr_gamma

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar error."""
        pred, noise, abar = state.response.pred_BCHW, state.noised.noise_BCHW, state.noised.abar_B
        if self.min_snr_gamma is None:
            return row_mean(
                plain_error(pred, noise, abar, state.backbone.prediction_type), state.has_image_loss_B
            )
        error = F.mse_loss(pred, noise, reduction="none").mean((1, 2, 3))
        return row_mean(error * min_snr_weight(abar, self.min_snr_gamma), state.has_image_loss_B)


class RegionDenoisingLoss:
    """w(t) mean_HW w ||eps - eps_theta||^2 / mean_HW w with w = max(M, floor), per row."""

    def __init__(self, floor: float, space: str, min_snr_gamma: float | None) -> None:
        self.floor, self.space, self.min_snr_gamma = floor, space, min_snr_gamma

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar error; the normaliser keeps small regions from shrinking the step size."""
        assert state.map_B1HW is not None
        weight = state.map_B1HW.clamp(min=self.floor)
        error = (state.response.pred_BCHW - state.noised.noise_BCHW).pow(2).mean(1, keepdim=True)
        normaliser = weight.mean((1, 2, 3)).clamp(min=torch.finfo(torch.float16).eps)
        per_row = (weight * error).mean((1, 2, 3)) / normaliser
        weight_B = space_weight(state.noised.abar_B, self.space)
        if self.min_snr_gamma is not None:
            weight_B = min_snr_weight(state.noised.abar_B, self.min_snr_gamma)
        return row_mean(per_row * weight_B, state.has_image_loss_B)
