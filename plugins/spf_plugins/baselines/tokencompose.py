"""TokenCompose: attention grounded in masks (Wang et al. 2024, arXiv 2312.03626).

The noun that is grounded is the target phrase, its mask comes with the data.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.control import at_queries
from spf_core.interfaces import StepState


def _target_attention(state: StepState) -> list[tuple[Tensor, Tensor]]:
    """For every layer the target's mean attention and the mask at the layer's resolution, both B Q."""
    mask = state.batch.mask_B1HW
    assert mask is not None, "the engine reads masks for terms that need them"
    target_BL1 = state.batch.complete.target_BL[:, :, None]
    return [
        ((attention.float() @ target_BL1)[..., 0], at_queries(mask, attention.shape[1])[..., 0])
        for attention in state.response.attention.values()
    ]


class TokenLoss:
    """L_token = mean over layers of (1 - sum_Q A B / sum_Q A)^2: attention falls inside the mask."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        losses = [
            (1 - (attention * mask).sum(1) / attention.sum(1).clamp(min=1e-8)).pow(2)
            for attention, mask in _target_attention(state)
        ]
        return torch.stack(losses).mean()


class PixelLoss:
    """L_pixel = mean over layers of BCE(A, B): every position inside the mask attends, none outside."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        losses = [
            F.binary_cross_entropy_with_logits(attention.logit(eps=1e-6), mask)  # as CUDA's autocast wants it
            for attention, mask in _target_attention(state)
        ]
        return torch.stack(losses).mean()
