"""Segmentation consistency of masks without classes."""

from collections.abc import Mapping
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from spf_core.interfaces import Backbone, Column, Quadruples, Suite
from spf_lab.metrics.networks.sam import MaskFinder, mask_iou


class MaskConsistency:
    """How well the masks of A are found again in C, in percent."""

    def __init__(self, find: MaskFinder, provenance: Mapping[str, Any]) -> None:
        self.find, self.provenance = find, provenance

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """One number for each pair whose original shows a mask."""
        values, failed = torch.full((len(quads.a),), torch.nan), {}
        for place, (a, c) in enumerate(zip(quads.a, quads.c, strict=True)):
            first, second = self.find(a, backbone), self.find(c, backbone)
            if len(first):
                values[place] = 100 * matched_iou(first, second)
            else:
                failed[place] = "no mask in the original picture"
        return {"": Column("IoU of matched SAM masks by area, %", "higher", values, failed=failed)}


def matched_iou(first_MHW: Tensor, second_NHW: Tensor) -> float:
    """Mean IoU of each first mask with its partner, weighted by area; partners by the best assignment.

    A mask without a partner counts 0.
    """
    overlap_MN, area_M = mask_iou(first_MHW, second_NHW), first_MHW.sum(dim=(1, 2)).float()
    rows, columns = (
        torch.as_tensor(each) for each in linear_sum_assignment(overlap_MN.numpy(), maximize=True)
    )
    return float((area_M[rows] * overlap_MN[rows, columns]).sum() / area_M.sum())
