"""The Semantic-Aware Fine Control Map, step by step as the paper's figure draws it (a reconstruction)."""

import torch
from torch import Tensor

from spf_core.control import middle_attention, min_max
from spf_core.interfaces import StepState
from spf_core.types import Conditioning


def noise_difference(res_BCHW: Tensor, ref_BCHW: Tensor) -> Tensor:
    """D = norm(mean_channels | eps_res - eps_ref |), B 1 H W."""
    return min_max((res_BCHW - ref_BCHW).abs().mean(1, keepdim=True))


def unrelatedness(cond: Conditioning) -> Tensor:
    """d_p = 1 - cos(E_T(phrase p), E_T(target)), B P; 0 for padding rows."""
    cosine_BP = torch.einsum("bpd,bd->bp", cond.phrase_embeds_BPD, cond.target_embed_BD)
    return (1 - cosine_BP) * (cond.phrase_BPL.sum(-1) > 0)


class SfcmV1Map:
    """SFCM = norm(clip(D - sum_p d_p norm(A[p]), 0))."""

    def __init__(self, path: str) -> None:
        self.path = path

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M, B 1 H W in [0, 1]."""
        assert state.reference is not None
        difference = noise_difference(state.response.pred_BCHW, state.reference.pred_BCHW)
        source = state.reference if self.path == "reference" else state.response
        attention = min_max(
            middle_attention(source.attention, state.batch.complete.phrase_BPL, difference.shape[-2:])
        )
        unrelated_B1HW = torch.einsum("bp,bphw->bhw", unrelatedness(state.batch.complete), attention)[:, None]
        return min_max((difference - unrelated_B1HW).clamp(min=0))
