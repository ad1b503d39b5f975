"""Terms that hold the response path to the reference path where the target does not respond.

Reconstructions from the figures of SPF-Portrait (arXiv 2504.00396); its equations were not published as code.
"""

import torch
from torch import Tensor

from spf_core.control import at_queries
from spf_core.interfaces import StepState
from spf_core.types import Conditioning, PathOutput
from spf_plugins.losses.denoising import space_weight


class TextConsistencyLoss:
    """L_tc = mean_l sum_p mean_Q (1 - M_l) (A_res^l[p] - A_ref^l[p])^2 over base phrases and PAD.

    The phrases of the base text are encoded identically in both paths (the text encoder is causal), but the
    target's tokens take attention from all others: `renormalise` compares shares among the shared tokens.
    """

    def __init__(self, renormalise: bool, pad: bool) -> None:
        self.renormalise, self.pad = renormalise, pad

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; layers are averaged so that the weight means the same on every backbone."""
        assert state.reference is not None
        outside = 1 - _map(state)
        complete, base = state.response_text, state.reference_text
        losses = [
            (at_queries(outside, res.shape[1]) * self._differences(res, ref, complete, base)).mean(1).sum(1)
            for res, ref in _pairs(state.response, state.reference, "attention")
        ]
        return torch.stack(losses).mean()

    def _differences(
        self, res_BQL: Tensor, ref_BQL: Tensor, complete: Conditioning, base: Conditioning
    ) -> Tensor:
        phrases = (phrase_attention(a, base.phrase_BPL, self.renormalise) for a in (res_BQL, ref_BQL))
        difference = next(phrases) - next(phrases)
        if self.pad:
            pad = res_BQL @ complete.pad_BL[:, :, None] - ref_BQL @ base.pad_BL[:, :, None]
            difference = torch.cat([difference, pad], dim=2)
        return difference.pow(2)


class FineGrainedLoss:
    """L_fg = mean_l mean_{Q,D} (1 - M_l) (Q_res^l - Q_ref^l)^2 over all cross-attention layers."""

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; layers are averaged so that the weight means the same on every backbone."""
        assert state.reference is not None
        outside = 1 - _map(state)
        losses = [
            (at_queries(outside, res.shape[1]) * (res - ref).pow(2)).mean()
            for res, ref in _pairs(state.response, state.reference, "queries")
        ]
        return torch.stack(losses).mean()


class OutputAlignmentLoss:
    """mean w(t) (1 - M) (eps_res - eps_ref)^2; with M = 0 and w = 1 this is output preservation.

    `space` decides w(t): what a picture shows is settled at high noise, where differences in eps are small.
    """

    def __init__(self, rows: str, space: str) -> None:
        self.rows, self.space = rows, space

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        assert state.reference is not None
        difference = (state.response.pred_BCHW - state.reference.pred_BCHW).pow(2)
        per_row = ((1 - _map(state)) * difference).mean((1, 2, 3))
        return (per_row * space_weight(state.noised.abar_B, self.space) * self._weights(state)).mean()

    def _weights(self, state: StepState) -> Tensor:
        with_target = state.has_target_B.to(state.response.pred_BCHW.dtype)
        return {"all": torch.ones_like(with_target), "target": with_target, "preserved": 1 - with_target}[
            self.rows
        ]


def phrase_attention(attention_BQL: Tensor, phrase_BPL: Tensor, renormalise: bool) -> Tensor:
    """Mean attention of every phrase's tokens, B Q P; optionally each query's share among those tokens."""
    if renormalise:
        shared_BL = (phrase_BPL.sum(1) > 0).to(attention_BQL.dtype)
        kept = attention_BQL * shared_BL[:, None, :]
        attention_BQL = kept / kept.sum(-1, keepdim=True).clamp(min=1e-6)
    return attention_BQL @ phrase_BPL.transpose(1, 2)


def _map(state: StepState) -> Tensor:
    assert state.map_B1HW is not None
    return state.map_B1HW


def _pairs(res: PathOutput, ref: PathOutput, what: str) -> list[tuple[Tensor, Tensor]]:
    response, reference = getattr(res, what), getattr(ref, what)
    return [(response[layer].float(), reference[layer].float()) for layer in response]
