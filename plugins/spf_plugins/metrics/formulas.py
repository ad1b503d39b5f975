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


def appearance_map(first_N3HW: Tensor, second_N3HW: Tensor) -> Tensor:
    """Per pixel: mean |colour difference| plus half the mean |difference of image gradients| in x and y."""
    difference_N3HW = first_N3HW - second_N3HW
    along_x = F.pad(difference_N3HW, (0, 1, 0, 0), mode="replicate").diff(dim=3)
    along_y = F.pad(difference_N3HW, (0, 0, 0, 1), mode="replicate").diff(dim=2)
    gradients = (along_x.abs() + along_y.abs()) / 2
    return (difference_N3HW.abs() + gradients).mean(dim=1)


def patch_distance(first_NDhw: Tensor, second_NDhw: Tensor, outside_NHW: Tensor, share: float = 0.9) -> Tensor:
    """1 - mean cosine of the patches of which at least `share` lies outside the region."""
    cosine_Nhw = F.cosine_similarity(first_NDhw, second_NDhw, dim=1)
    cover_Nhw = F.adaptive_avg_pool2d(outside_NHW[:, None].float(), cosine_Nhw.shape[-2:])[:, 0]
    return masked_mean(1 - cosine_Nhw, cover_Nhw >= share)


def part_agreement(
    first_NHW: Tensor, second_NHW: Tensor, where_NHW: Tensor, ignored: frozenset[int]
) -> Tensor:
    """seg_cons_out in [0, 1]: mean IoU over the parts that fill 0.1 % of either map, `ignored` ones left out.

    A part seen in one map only counts 0.
    """
    scores, counts = torch.zeros(len(first_NHW)), torch.zeros(len(first_NHW))
    smallest = SMALLEST_PART * first_NHW[0].numel()
    for part in sorted({*first_NHW.unique().tolist(), *second_NHW.unique().tolist()} - ignored):
        one, other = (first_NHW == part) & where_NHW, (second_NHW == part) & where_NHW
        counted = torch.maximum(one.sum(dim=(1, 2)), other.sum(dim=(1, 2))) >= smallest
        union = (one | other).sum(dim=(1, 2)).clamp(min=1)
        scores += torch.where(counted, (one & other).sum(dim=(1, 2)) / union, 0.0)
        counts += counted
    return torch.where(counts > 0, scores / counts.clamp(min=1), torch.nan)


def total_variation(first_NK: Tensor, second_NK: Tensor) -> Tensor:
    """Half the L1 distance of two distributions, in [0, 1]."""
    return (first_NK - second_NK).abs().sum(dim=-1) / 2
