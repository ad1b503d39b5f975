"""The metric: which share of a change lies outside a region."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from spf_core.interfaces import Region, Suite
from torch import Tensor


def change_outside(first: Sequence[Image], second: Sequence[Image], outside_NHW: Tensor | None) -> Tensor:
    """sum_outside |first - second| / sum |first - second|, N in [0, 1]; 0 where nothing changed.

    Without `outside_NHW` (bool) every pixel lies outside.
    """
    change_NHW = torch.stack([_change(*pair) for pair in zip(first, second, strict=True)])
    counted_NHW = change_NHW if outside_NHW is None else change_NHW * outside_NHW
    return counted_NHW.sum((1, 2)) / change_NHW.sum((1, 2)).clamp(min=1e-12)


class ChangeOutsideMetric:
    """`change_outside` the region that the suite's own parser finds."""

    part = "appearance"

    def __call__(
        self,
        suite: Suite,
        first: Sequence[Image],
        second: Sequence[Image],
        region: Region | None,
        target: str,
    ) -> Tensor:
        """Return N shares. Without a region nothing may change, so that any change lies outside: 1."""
        return change_outside(first, second, None if region is None else region.outside_NHW)


def _change(first: Image, second: Image) -> Tensor:
    """Mean absolute difference over the colours, H W in [0, 1]."""
    pixels = [np.asarray(image.convert("RGB"), dtype=np.float32) / 255 for image in (first, second)]
    return torch.from_numpy(np.abs(pixels[0] - pixels[1]).mean(-1))
