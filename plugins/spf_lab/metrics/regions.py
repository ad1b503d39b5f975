"""Which pixels a target must leave alone, from part maps (evaluation regions never come from attention)."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from spf_core.interfaces import Region

MARGIN = 0.02


def local_region(
    parts_a_NHW: Tensor, parts_other_NHW: Tensor, allowed: frozenset[int], limit: float
) -> Region:
    """O: what lies away from the allowed parts of both images, by twice a margin of 2 % of the side.

    R holds at most the larger of `limit` (a share of the image) and what `a` alone shows; of what the other
    image adds, pixels near those of `a` come first and the surplus counts as outside.
    """
    in_a, in_other = _is_among(parts_a_NHW, allowed), _is_among(parts_other_NHW, allowed)
    kept = [_limited(a, other, limit) for a, other in zip(in_a.numpy(), in_other.numpy(), strict=True)]
    inside_NHW = torch.from_numpy(np.stack(kept))
    margin = max(1, round(MARGIN * inside_NHW.shape[-1]))
    outside_NHW = ~_dilated(inside_NHW, 2 * margin)
    return Region(outside_NHW, outside_NHW)


def global_region(parts_NHW: Tensor) -> Region:
    """A style may change the look of every pixel and the place of nothing."""
    return Region(torch.zeros_like(parts_NHW, dtype=torch.bool), torch.ones_like(parts_NHW, dtype=torch.bool))


def allowed_share(parts_NHW: Tensor, allowed: frozenset[int]) -> Tensor:
    """N shares of the image that show an allowed part."""
    return _is_among(parts_NHW, allowed).float().mean(dim=(1, 2))


def _is_among(parts_NHW: Tensor, allowed: frozenset[int]) -> Tensor:
    return torch.isin(parts_NHW, torch.tensor(sorted(allowed), dtype=parts_NHW.dtype))


def _limited(in_a: np.ndarray, in_other: np.ndarray, limit: float) -> np.ndarray:
    added = in_other & ~in_a
    room = int(max(limit * in_a.size - in_a.sum(), 0))
    if added.sum() <= room:
        return np.asarray(in_a | added)
    away = np.where(added, distance_transform_edt(~in_a), np.inf)
    nearest = np.argsort(away, axis=None, kind="stable")[:room]
    result = in_a.copy()
    result.flat[nearest] = True
    return result


def _dilated(mask_NHW: Tensor, radius: int) -> Tensor:
    grown = F.max_pool2d(mask_NHW[:, None].float(), 2 * radius + 1, stride=1, padding=radius)
    return grown[:, 0] > 0
