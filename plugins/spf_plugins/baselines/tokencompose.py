"""TokenCompose: attention grounded in masks (Wang et al. 2024, arXiv 2312.03626).

The noun that is grounded is the target phrase, its mask comes with the data. The formulas are those of the
published code (github.com/mlpc-ucsd/TokenCompose, train/src/loss_utils.py): A is the attention of the layers
in the mid block and the up blocks, B the mask at their resolution, 1 wherever any of it lies. One thing
differs: A is the mean over heads, where the published token loss takes the mean of each head's share in B.
Rows that do not read their target, or whose target was cut off, count as 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.helpers import Grid, at_queries
from spf_core.interfaces import StepState

_BLOCKS = ("mid_block", "up_blocks")


class TokenLoss:
    """L_token = sum over layers, mean over the phrase's tokens, of (1 - sum_Q A B / sum_Q A)^2.

    Each token's attention falls inside the mask.
    """

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar, the mean over rows."""
        target_BL = _target(state)
        count_B = target_BL.sum(1).clamp(min=1)
        losses = []
        for grid, layers in _grounded(state):
            mask_BQ1 = _mask(state, grid)
            for attention_BQL in layers:
                inside_BL = (attention_BQL * mask_BQ1).sum(1)
                share_BL = inside_BL / attention_BQL.sum(1).clamp(min=1e-8)
                losses.append(((1 - share_BL).pow(2) * target_BL).sum(1) / count_B)
        return torch.stack(losses).sum(0).mean()


class PixelLoss:
    """L_pixel = sum over the mid block and each resolution of the up blocks of BCE(A, B).

    There A is the mean over layers, summed over the phrase's tokens: every position inside the mask attends,
    none outside.
    """

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar, the mean over rows."""
        target_BL = _target(state)
        losses = []
        for grid, layers in _grounded(state):
            # No matrix product, which autocast would round.
            attention_BQ = (torch.stack(layers).mean(0) * target_BL[:, None]).sum(2)
            mask_BQ = _mask(state, grid)[..., 0]
            # With logits, as CUDA's autocast wants it.
            logit_BQ = attention_BQ.logit(eps=1e-6)
            losses.append(F.binary_cross_entropy_with_logits(logit_BQ, mask_BQ, reduction="none").mean(1))
        return (torch.stack(losses).sum(0) * target_BL.amax(1)).mean()


def _target(state: StepState) -> Tensor:
    """1 at the target's tokens in rows that read them, float32."""
    return ((state.batch.complete.target_BL > 0) & state.has_target_B[:, None]).float()


def _grounded(state: StepState) -> list[tuple[Grid, list[Tensor]]]:
    """The layers' attention B Q L in float32, grouped by block (mid or up) and grid.

    ConfigError for a model that is no UNet: the paper's choice of layers means nothing there.
    """
    groups: dict[tuple[str, Grid], list[Tensor]] = {}
    grids = state.grids
    for name, attention_BQL in state.response.attention.items():
        if (block := name.partition(".")[0]) in _BLOCKS:
            groups.setdefault((block, grids[name]), []).append(attention_BQL.float())
    if not groups:
        raise ConfigError(
            "losses.token-grounding and losses.pixel-grounding read the mid and up blocks of a UNet, and "
            "this base model has none; choose another backbone"
        )
    return [(grid, layers) for (_, grid), layers in groups.items()]


def _mask(state: StepState, grid: Grid) -> Tensor:
    """The mask at a layer's grid, B Q 1: 1 wherever any of it lies."""
    mask = state.batch.mask_B1HW
    assert mask is not None, "the engine reads masks for terms that need them"
    return (at_queries(mask, grid) > 0).float()
