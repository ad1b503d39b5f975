"""Response enhancement in CLIP's space, four variants of the reconstruction.

x0_hat decodes z0_hat, the clean latents that the response's prediction means; at high noise that
estimate is no image, hence the gate on t. Only rows inside the gate that read their target are decoded, or a
share of them.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.helpers import clean_estimate, rows_below
from spf_core.interfaces import StepState


class Enhancement(ABC):
    """1 - cos(b_hat, b_gt), averaged over the rows that pass the gate.

    With a `share` below 1 some are decoded, and count 1 / share times as much: the same in expectation.
    """

    def __init__(self, max_timestep: float, decode_size: int, share: float) -> None:
        self.max_timestep = max_timestep
        self.decode_size = decode_size
        self.share = share

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; 0 (with gradient) when no row of the batch passes the gate or is drawn."""
        gated_B = state.has_image_loss_B & state.has_target_B & rows_below(state, self.max_timestep)
        passed = gated_B.nonzero().flatten()
        rows = passed if self.share == 1 else self._drawn(passed, state.generator)
        if len(rows) == 0:
            return state.response.pred_BCHW.sum() * 0
        estimate, wanted = self.compare(state, rows)
        return (1 - F.cosine_similarity(estimate, wanted)).sum() / (self.share * len(passed))

    def _drawn(self, passed: Tensor, generator: torch.Generator) -> Tensor:
        """A share of the rows; chance decides about the part of a row, so that few steps decode many."""
        wanted = self.share * len(passed)
        count = min(int(wanted + float(torch.rand((), generator=generator))), math.ceil(wanted))
        return passed[torch.randperm(len(passed), generator=generator)[:count].to(passed.device)]

    def embedded(self, state: StepState, pred_BCHW: Tensor, rows: Tensor) -> Tensor:
        """E_I of the rows' clean estimates."""
        z0_hat = clean_estimate(state, pred_BCHW, rows)
        return state.backbone.embed_images(state.backbone.decode(at_most(z0_hat, self.decode_size)))

    @abstractmethod
    def compare(self, state: StepState, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return b_hat and b_gt of some rows, each (rows, D)."""


class ClipRegionEnhancement(Enhancement):
    """b_hat = E_I(decode(z0_hat_ref + M (z0_hat - z0_hat_ref))), b_gt = E_T(target).

    Outside the map the picture is the reference's, without gradient: the term cannot ask for anything there.
    """

    def compare(self, state: StepState, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return b_hat and b_gt."""
        assert state.reference is not None
        assert state.map_B1HW is not None
        # z0_hat is linear in the prediction, so that mixing the predictions mixes the estimates.
        change = state.response.pred_BCHW - state.reference.pred_BCHW
        inside = state.reference.pred_BCHW + state.map_B1HW * change
        return self.embedded(state, inside, rows), state.batch.complete.target_embed_BD[rows]


class ClipDirectionEnhancement(Enhancement):
    """A: b_hat = E_I(x0_hat) - E_T(target), b_gt = E_I(x_0) - E_T(target).

    CLIP's embeddings of images lie far from those of texts, so that both differences point from the text to
    the images: the term is least where x0_hat is the training image, with all that it shares with the others.
    """

    def compare(self, state: StepState, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return b_hat and b_gt."""
        target_BD = state.batch.complete.target_embed_BD[rows]
        estimate = self.embedded(state, state.response.pred_BCHW, rows)
        return estimate - target_BD, _clean(state)[rows] - target_BD


class ClipChangeEnhancement(Enhancement):
    """B: b_hat = E_I(x0_hat) - E_I(x0_hat of the original), b_gt = E_I(x_0) - E_T(base)."""

    def compare(self, state: StepState, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return b_hat and b_gt."""
        with torch.no_grad():
            original = self.embedded(state, state.predictions.original("base"), rows)
        base = state.backbone.embed_texts([state.batch.prompts[row].base_text for row in rows.tolist()])
        return self.embedded(state, state.response.pred_BCHW, rows) - original, _clean(state)[rows] - base


class ClipDirectEnhancement(Enhancement):
    """C: b_hat = E_I(x0_hat), b_gt = E_T(target)."""

    def compare(self, state: StepState, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return b_hat and b_gt."""
        return self.embedded(state, state.response.pred_BCHW, rows), state.batch.complete.target_embed_BD[
            rows
        ]


def at_most(latents_BCHW: Tensor, side: int) -> Tensor:
    """The latents, averaged over areas where their longest side exceeds `side`."""
    height, width = latents_BCHW.shape[-2:]
    if max(height, width) <= side:
        return latents_BCHW
    scale = side / max(height, width)
    return F.adaptive_avg_pool2d(latents_BCHW, (round(height * scale), round(width * scale)))


def _clean(state: StepState) -> Tensor:
    embeds = state.batch.image_embeds_BD
    assert embeds is not None, "the engine embeds clean images for terms that need them"
    return embeds
