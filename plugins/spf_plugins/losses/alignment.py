"""Terms that hold the response path to the reference path where the target does not respond.

Reconstructions from the figures of SPF-Portrait (arXiv 2504.00396); its equations were not published as code.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.helpers import at_queries
from spf_core.interfaces import Conditioning, PathOutput, Space, StepState


class TextConsistencyLoss:
    """L_tc = mean_l sum_p mean_Q (1 - M_l) (A_res^l[p] - A_ref^l[p])^2 over base phrases and PAD.

    A[p] is the mean over the phrase's tokens. The target's tokens take attention from all others, so that
    a token's share among the tokens that both texts have is compared. Each path reads the phrases where its
    own text has them; a phrase that one of the texts lacks is not compared, and EOT and PAD count as often as
    the text with fewer of them has them.
    """

    def __init__(self, renormalise: str, pad: bool) -> None:
        self.renormalise, self.pad = renormalise, pad

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; layers are averaged so that the weight means the same on every backbone."""
        assert state.reference is not None
        outside = 1 - _map(state)
        complete, base = _shared(state.response_text, state.reference_text)
        grids = state.grids
        losses = [
            (
                at_queries(outside, grids[layer])
                * (self._attention(res, complete) - self._attention(ref, base)).pow(2)
            )
            .mean(1)
            .sum(1)
            for layer, (res, ref) in _pairs(state.response, state.reference, "attention").items()
        ]
        return torch.stack(losses).mean()

    def _attention(self, attention_BQL: Tensor, text: "_Shared") -> Tensor:
        """What is compared of one path, B Q P or, with PAD, B Q P+1."""
        phrases_BQP = attention_BQL @ text.phrase_BPL.transpose(1, 2)
        pad_BQ1 = attention_BQL @ text.pad_BL[:, :, None]
        if self.renormalise != "none":
            total_BQ1 = attention_BQL @ (text.phrase_BPL > 0).any(1).to(attention_BQL.dtype)[:, :, None]
            if self.renormalise == "all" and self.pad:
                total_BQ1 = total_BQ1 + text.pads_B[:, None, None] * pad_BQ1
                pad_BQ1 = pad_BQ1 / total_BQ1.clamp(min=1e-6)
            phrases_BQP = phrases_BQP / total_BQ1.clamp(min=1e-6)
        return torch.cat([phrases_BQP, pad_BQ1], dim=2) if self.pad else phrases_BQP


@dataclass(frozen=True)
class _Shared:
    """Where a text has what both texts have: its phrases, and how many EOT and PAD both have, B."""

    phrase_BPL: Tensor
    pad_BL: Tensor
    pads_B: Tensor


def _shared(complete: Conditioning, base: Conditioning) -> tuple[_Shared, _Shared]:
    """Both texts, without phrases that one of them lacks; truncation may have dropped the last ones."""
    texts = complete, base
    both_BP1 = torch.stack([text.phrase_BPL.sum(2) > 0 for text in texts]).all(0)[:, :, None]
    pads_B = torch.stack([(text.pad_BL > 0).sum(1) for text in texts]).amin(0)
    one, other = (_Shared(text.phrase_BPL * both_BP1, text.pad_BL, pads_B) for text in texts)
    return one, other


class FineGrainedLoss:
    """L_fg = mean_l mean_{Q,D} (1 - M_l) (Q_res^l - Q_ref^l)^2 over all layers that read the text.

    Where `to_q` is trained, the paths' queries lie in different bases: `features` compares what they are
    projected from (`hidden`), or projects both by the original's `to_q` (`query_ref_projection`).
    """

    def __init__(self, features: str = "query") -> None:
        self.features = features
        self._projections: dict[str, tuple[Tensor, Tensor | None]] = {}

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar; layers are averaged so that the weight means the same on every backbone."""
        assert state.reference is not None
        outside = 1 - _map(state)
        what = "queries" if self.features == "query" else "hidden"
        pairs = _pairs(state.response, state.reference, what)
        if self.features == "query_ref_projection":
            original = self._original(state)
            pairs = {
                layer: (F.linear(res, *original[layer]), F.linear(ref, *original[layer]))
                for layer, (res, ref) in pairs.items()
            }
        grids = state.grids
        losses = [
            (at_queries(outside, grids[layer]) * (res - ref).pow(2)).mean()
            for layer, (res, ref) in pairs.items()
        ]
        return torch.stack(losses).mean()

    def _original(self, state: StepState) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Weight and bias of the original's `to_q`, by layer."""
        if not self._projections:
            with state.adapter.disabled():
                self._projections = {
                    site.name: _frozen(site.to_q) for site in state.backbone.attention_sites()
                }
        return self._projections


class OutputAlignmentLoss:
    """mean w(t) (1 - M) (pred_res - pred_ref)^2; with M = 0 and w = 1 this is output preservation.

    `space` decides w(t): what a picture shows is settled at high noise, where differences in eps are small.
    """

    def __init__(self, rows: str, space: Space) -> None:
        self.rows, self.space = rows, space

    def __call__(self, state: StepState) -> Tensor:
        """Return the scalar."""
        assert state.reference is not None
        difference = (state.response.pred_BCHW - state.reference.pred_BCHW).pow(2)
        per_row = ((1 - _map(state)) * difference).mean((1, 2, 3))
        weight_B = state.backbone.noise.weight(self.space, state.noised.timesteps_B)
        return (per_row * weight_B * self._weights(state)).mean()

    def _weights(self, state: StepState) -> Tensor:
        with_target = state.has_target_B.to(state.response.pred_BCHW.dtype)
        return {"all": torch.ones_like(with_target), "target": with_target, "preserved": 1 - with_target}[
            self.rows
        ]


def _frozen(linear: Any) -> tuple[Tensor, Tensor | None]:
    """Copies of a linear layer's weight and bias, of the layer inside where an adapter wraps it."""
    layer = getattr(linear, "base_layer", linear)
    return layer.weight.detach().float().clone(), None if layer.bias is None else layer.bias.detach().float()


def _map(state: StepState) -> Tensor:
    assert state.map_B1HW is not None
    return state.map_B1HW


def _pairs(res: PathOutput, ref: PathOutput, what: str) -> dict[str, tuple[Tensor, Tensor]]:
    """What both paths recorded, by layer, in float32."""
    response, reference = getattr(res, what), getattr(ref, what)
    return {layer: (response[layer].float(), reference[layer].float()) for layer in response}
