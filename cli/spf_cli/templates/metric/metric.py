"""The mathematics of the metric."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from spf_core.interfaces import Region, Suite
from torch import Tensor


class NewThingMetric:
    """scale mean_outside |luma_1 - luma_2|, in [0, 1] for scale 1."""

    part = "appearance"  # the part of pollution that it measures

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(
        self,
        suite: Suite,
        first: Sequence[Image],
        second: Sequence[Image],
        region: Region | None,
        target: str,
    ) -> Tensor:
        """Return N distances, NaN where the region leaves no pixel; without a region all pixels count."""
        difference_NHW = (_luma(first) - _luma(second)).abs()
        outside_NHW = torch.ones_like(difference_NHW) if region is None else region.outside_NHW.float()
        summed_N = (difference_NHW * outside_NHW).sum((1, 2))
        return self.scale * summed_N / outside_NHW.sum((1, 2))


def _luma(images: Sequence[Image]) -> Tensor:
    """Brightness in [0, 1], N H W; pictures of a pair have the same size."""
    return torch.stack([torch.from_numpy(np.array(image.convert("L"))) for image in images]).float() / 255
