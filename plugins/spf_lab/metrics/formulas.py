"""The distances as pure functions of tensors; N pairs, NaN where a pair offers nothing to compare."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_PART = 0.001


def masked_mean(values_NHW: Tensor, mask_NHW: Tensor) -> Tensor:
    """Mean over the masked pixels alone, not over the whole frame; NaN where the mask is empty."""
    count_N = mask_NHW.sum(dim=(1, 2))
    total_N = (values_NHW * mask_NHW).sum(dim=(1, 2))
    return torch.where(count_N > 0, total_N / count_N.clamp(min=1), torch.nan)


def appearance_distance(first_N3HW: Tensor, second_N3HW: Tensor, outside_NHW: Tensor) -> Tensor:
    """Mean |colour difference| plus half the mean |difference of image gradients| in x and in y.

    Only pixels of the mask count, and only gradients between two of them.
    """
    difference_N3HW = first_N3HW - second_N3HW
    colour_N = masked_mean(difference_N3HW.abs().mean(dim=1), outside_NHW)
    edges_N = torch.zeros_like(colour_N)
    for dim in (2, 1):
        length = outside_NHW.shape[dim] - 1
        both = outside_NHW.narrow(dim, 0, length) & outside_NHW.narrow(dim, 1, length)
        steps = difference_N3HW.diff(dim=dim + 1).abs().mean(dim=1)
        edges_N += masked_mean(steps, both).nan_to_num(0.0) / 2
    return colour_N + edges_N


def cosine_distance(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """1 - cosine, as half the squared distance of unit vectors: exactly 0 for equal ones."""
    difference = F.normalize(first, dim=dim) - F.normalize(second, dim=dim)
    return difference.square().sum(dim=dim) / 2


def patch_distance(
    first_NDhw: Tensor, second_NDhw: Tensor, outside_NHW: Tensor, share: float = 0.9
) -> Tensor:
    """1 - mean cosine of the patches of which at least `share` lies outside the region."""
    distance_Nhw = cosine_distance(first_NDhw, second_NDhw, dim=1)
    grid = (distance_Nhw.shape[1], distance_Nhw.shape[2])
    cover_Nhw = F.adaptive_avg_pool2d(outside_NHW[:, None].float(), grid)[:, 0]
    return masked_mean(distance_Nhw, cover_Nhw >= share)


def part_agreement(
    first_NHW: Tensor, second_NHW: Tensor, where_NHW: Tensor, ignored: frozenset[int]
) -> Tensor:
    """seg_cons_out in [0, 1]: mean IoU over the parts that fill 0.1 % of either map, `ignored` ones left out.

    A part seen in one map only counts 0.
    """
    scores, counts = torch.zeros(len(first_NHW)), torch.zeros(len(first_NHW))
    smallest = SMALLEST_PART * first_NHW[0].numel()
    last = int(torch.maximum(first_NHW.max(), second_NHW.max()))
    for part in (number for number in range(last + 1) if number not in ignored):
        one, other = (first_NHW == part) & where_NHW, (second_NHW == part) & where_NHW
        counted = torch.maximum(one.sum(dim=(1, 2)), other.sum(dim=(1, 2))) >= smallest
        union = (one | other).sum(dim=(1, 2)).clamp(min=1)
        scores += torch.where(counted, (one & other).sum(dim=(1, 2)) / union, 0.0)
        counts += counted
    return torch.where(counts > 0, scores / counts.clamp(min=1), torch.nan)


def total_variation(first_NK: Tensor, second_NK: Tensor) -> Tensor:
    """Half the L1 distance of two distributions, in [0, 1]."""
    return (first_NK - second_NK).abs().sum(dim=-1) / 2
