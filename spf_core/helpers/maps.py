"""Maps over the latents: resizing to and from the grids of layers, and scaling to [0, 1]."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]  # rows and columns of a layer's positions, see `AttentionSite.grid`


def at_queries(map_B1HW: Tensor, grid: Grid) -> Tensor:
    """Resize a map to a layer's grid and flatten it: B Q 1 (area average)."""
    return F.adaptive_avg_pool2d(map_B1HW, grid).flatten(2).transpose(1, 2)


def at_latents(values_BQP: Tensor, grid: Grid, size: Sequence[int]) -> Tensor:
    """Reshape a layer's values to images and resize them to the latent's height and width: B P H W."""
    image = values_BQP.transpose(1, 2).reshape(len(values_BQP), -1, *grid)
    return F.interpolate(image, tuple(size), mode="bilinear", align_corners=False)


def middle_attention(
    attention: Mapping[str, Tensor],
    phrase_BPL: Tensor,
    grids: Mapping[str, Grid],
    size: Sequence[int],
) -> Tensor:
    """Mean attention of every phrase over the layers of the two middle resolutions, B P H W.

    Of an odd number of resolutions it is the one in the middle. Stable Diffusion 1.5 attends at 64, 32, 16
    and 8 positions a side, so that 32 and 16 are read.
    """
    resolutions = sorted({values.shape[1] for values in attention.values()})
    middle = resolutions[(len(resolutions) - 1) // 2 : len(resolutions) // 2 + 1]
    maps = [
        at_latents(values.float() @ phrase_BPL.transpose(1, 2), grids[layer], size)
        for layer, values in attention.items()
        if values.shape[1] in middle
    ]
    return torch.stack(maps).mean(0)


def phrase_attention(
    attention: Mapping[str, Tensor],
    phrase_BL: Tensor,
    grids: Mapping[str, Grid],
    size: Sequence[int],
) -> Tensor:
    """Attention to a phrase's tokens in [0, 1], their mean over layers at the latent's size: B 1 H W."""
    maps = [
        at_latents(values @ phrase_BL[:, :, None], grids[layer], size) for layer, values in attention.items()
    ]
    return torch.stack(maps).mean(0)


def min_max(values_BPHW: Tensor) -> Tensor:
    """Scale every image to [0, 1]; a constant image becomes 0."""
    low = values_BPHW.amin((-2, -1), keepdim=True)
    high = values_BPHW.amax((-2, -1), keepdim=True)
    return (values_BPHW - low) / (high - low).clamp(min=1e-8)


def stretch(values_B1HW: Tensor, low: float, high: float) -> Tensor:
    """Scale every image so that its quantiles `low` and `high` become 0 and 1, and clip."""
    flat = values_B1HW.flatten(1)
    bottom, top = (flat.quantile(q, dim=1).view(-1, 1, 1, 1) for q in (low, high))
    return _between(values_B1HW, bottom, top)


def effective_share(values_B1HW: Tensor) -> Tensor:
    """Share of positions that hold the values, in (0, 1], B: n equal values among zeros give n / HW.

    It is the participation ratio (sum m)^2 / (HW sum m^2).
    """
    flat = values_B1HW.flatten(1)
    return flat.sum(1).square() / (flat.shape[1] * flat.square().sum(1)).clamp(min=1e-12)


def stretch_to_share(values_B1HW: Tensor, inner: float, outer: float) -> Tensor:
    """Scale every image to 1 in its `inner` and to 0 beyond its `outer` effective shares of high values."""
    share_B = effective_share(values_B1HW)
    ranked, last = values_B1HW.flatten(1).sort(dim=1, descending=True).values, values_B1HW[0].numel() - 1
    bottom, top = (
        ranked.gather(1, (reach * share_B * last).round().long().clamp(max=last)[:, None]).view(-1, 1, 1, 1)
        for reach in (outer, inner)
    )
    return _between(values_B1HW, bottom, top)


def _between(values_B1HW: Tensor, bottom: Tensor, top: Tensor) -> Tensor:
    return ((values_B1HW - bottom) / (top - bottom).clamp(min=1e-8)).clamp(0, 1)
