"""Phrase attention as images."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spf_core.control import at_latents


def middle_attention(attention: Mapping[str, Tensor], phrase_BPL: Tensor, size: torch.Size) -> Tensor:
    """Mean attention of every phrase over the layers of the two middle resolutions, B P H W."""
    resolutions = sorted({values.shape[1] for values in attention.values()})
    first = max(0, (len(resolutions) - 2) // 2)
    middle = set(resolutions[first : first + 2])
    maps = [
        at_latents(values.float() @ phrase_BPL.transpose(1, 2), size[0], size[1])
        for values in attention.values()
        if values.shape[1] in middle
    ]
    return torch.stack(maps).mean(0)
