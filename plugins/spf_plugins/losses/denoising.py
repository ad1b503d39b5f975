"""The denoising error, over the whole image or where the target responds."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.helpers import row_mean
from spf_core.interfaces import NoiseProcess, Space, StepState


def min_snr_weight(process: NoiseProcess, timesteps_B: Tensor, gamma: float) -> Tensor:
    """min(SNR, gamma) / SNR, the factor of a squared difference in eps (Hang et al. 2023, 2303.09556), B.

    It is given for a difference of predictions. A squared difference in DDPM's v is one in eps divided by
    abar, so this is also their min(SNR, gamma) / (SNR + 1) for v. At SNR = 0 the factor is that of eps.
    """
    in_noise_B = process.weight("noise", timesteps_B)
    return in_noise_B * (gamma / process.snr(timesteps_B)).clamp(max=1)


class DenoisingLoss:
    """mean || expected - prediction ||^2 under the complete text, over the rows that teach.

    It is an error in what the model was trained to predict.
    """

    def __init__(self, min_snr_gamma: float | None) -> None:
        self.min_snr_gamma = min_snr_gamma

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar error."""
        process, timesteps_B = state.backbone.noise, state.noised.timesteps_B
        pred, expected = state.response.pred_BCHW, state.noised.expected_BCHW
        if self.min_snr_gamma is None:
            return row_mean(process.error(pred, expected, timesteps_B), state.has_image_loss_B)
        error = F.mse_loss(pred, expected, reduction="none").mean((1, 2, 3))
        weight_B = min_snr_weight(process, timesteps_B, self.min_snr_gamma)
        return row_mean(error * weight_B, state.has_image_loss_B)


class RegionDenoisingLoss:
    """w(t) mean_HW w ||expected - prediction||^2 / mean_HW w with w = max(M, floor), per row."""

    def __init__(self, floor: float, space: Space, min_snr_gamma: float | None) -> None:
        self.floor, self.space, self.min_snr_gamma = floor, space, min_snr_gamma

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar error; the normaliser keeps small regions from shrinking the step size."""
        assert state.map_B1HW is not None
        weight = state.map_B1HW.clamp(min=self.floor)
        error = (state.response.pred_BCHW - state.noised.expected_BCHW).pow(2).mean(1, keepdim=True)
        normaliser = weight.mean((1, 2, 3)).clamp(min=torch.finfo(torch.float16).eps)
        per_row = (weight * error).mean((1, 2, 3)) / normaliser
        process, timesteps_B = state.backbone.noise, state.noised.timesteps_B
        weight_B = process.weight(self.space, timesteps_B)
        if self.min_snr_gamma is not None:
            weight_B = min_snr_weight(process, timesteps_B, self.min_snr_gamma)
        return row_mean(per_row * weight_B, state.has_image_loss_B)
