"""Which tokens a phrase occupies, from the tokenizer's character offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Span = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """Token ids (B L), character offsets (B L 2; empty for marks) and where the text has ended (B L)."""

    ids_BL: Tensor
    offsets_BL2: Tensor
    ended_BL: Tensor


def tokenize(tokenizer: Any, texts: Sequence[str], length: int) -> Tokens:
    """Pad and truncate to `length`, as `StableDiffusionPipeline` does."""
    encoded = tokenizer(
        list(texts),
        padding="max_length",
        max_length=length,
        truncation=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    last_B1 = encoded["attention_mask"].sum(dim=1, keepdim=True) - 1
    ended_BL = torch.arange(length) >= last_B1
    return Tokens(encoded["input_ids"], encoded["offset_mapping"], ended_BL)


def average_over(offsets_L2: Tensor, span: Span) -> Tensor:
    """Weights (L,) that average over the tokens touching `span`; all zero when truncation dropped them."""
    begin_L, end_L = offsets_L2.unbind(dim=-1)
    return normalised((begin_L < span[1]) & (end_L > span[0]) & (end_L > begin_L))


def average_over_all(offsets_BL2: Tensor, spans: Sequence[Sequence[Span]]) -> Tensor:
    """`average_over` for each row's spans: (B, P, L), padded with zero rows; P is at least 1."""
    batch, length, _ = offsets_BL2.shape
    weights_BPL = torch.zeros(batch, max([1, *map(len, spans)]), length)
    for row, row_spans in enumerate(spans):
        for place, span in enumerate(row_spans):
            weights_BPL[row, place] = average_over(offsets_BL2[row], span)
    return weights_BPL


def normalised(chosen: Tensor) -> Tensor:
    """Equal weights over the chosen last-dimension entries, summing to 1; zero where none is chosen."""
    weights = chosen.float()
    return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1)
