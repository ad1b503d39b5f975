"""The Semantic-Aware Fine Control Map, step by step as the paper's figure draws it (a reconstruction)."""

import torch
from torch import Tensor

from spf_core.helpers import middle_attention, min_max
from spf_core.interfaces import Conditioning, StepState


def noise_difference(res_BCHW: Tensor, ref_BCHW: Tensor) -> Tensor:
    """D = norm(mean_channels | eps_res - eps_ref |), B 1 H W."""
    return min_max((res_BCHW - ref_BCHW).abs().mean(1, keepdim=True))


def unrelatedness(cond: Conditioning) -> Tensor:
    """d_p = 1 - cos(E_T(phrase p), E_T(target)), B P; 0 for padding rows."""
    cosine_BP = torch.einsum("bpd,bd->bp", cond.phrase_embeds_BPD, cond.target_embed_BD)
    return (1 - cosine_BP) * present(cond)


def present(cond: Conditioning) -> Tensor:
    """Which phrases are there and no padding, B P."""
    return cond.phrase_BPL.sum(-1) > 0


def rescaled(values_BP: Tensor, there_BP: Tensor) -> Tensor:
    """Each row's values from 0 at the least to 1 at the greatest, among those that are there; 0 elsewhere."""
    low = values_BP.masked_fill(~there_BP, torch.inf).amin(1, keepdim=True)
    high = values_BP.masked_fill(~there_BP, -torch.inf).amax(1, keepdim=True)
    return ((values_BP - low) / (high - low).clamp(min=1e-8)).masked_fill(~there_BP, 0)


class SfcmV1Map:
    """SFCM = norm(clip(D - mean_p d'_p norm(A[p]), 0)) with d' = d rescaled to [0, 1] over a row's phrases.

    The figure subtracts every phrase as it is unrelated to the target, and its scale is unknown: cosines of
    CLIP's texts hardly differ, so that a plain sum over the phrases is larger than D nearly everywhere.
    """

    def __init__(self, path: str, weights: str) -> None:
        self.path, self.weights = path, weights

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]."""
        assert state.reference is not None
        difference = noise_difference(state.response.pred_BCHW, state.reference.pred_BCHW)
        source, text = {
            "reference": (state.reference, state.reference_text),
            "response": (state.response, state.response_text),
        }[self.path]
        attention = min_max(
            middle_attention(source.attention, text.phrase_BPL, state.grids, difference.shape[-2:])
        )
        weight_BP = self._weights(state.batch.complete) * present(text)
        unrelated_B1HW = torch.einsum("bp,bphw->bhw", weight_BP, attention)[:, None]
        return min_max((difference - unrelated_B1HW).clamp(min=0))

    def _weights(self, cond: Conditioning) -> Tensor:
        """What each phrase's attention is multiplied with, B P."""
        unrelated_BP, there_BP = unrelatedness(cond), present(cond)
        if self.weights == "plain":
            return unrelated_BP
        return rescaled(unrelated_BP, there_BP) / there_BP.sum(1, keepdim=True).clamp(min=1)
