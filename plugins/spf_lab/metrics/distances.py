"""The metrics: each reads a suite's judges and applies one formula. None needs weights of its own."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image, Resampling, composite
from PIL.Image import fromarray as from_array
from torch import Tensor

from spf_core.interfaces import Region, Suite
from spf_lab.metrics.formulas import (
    appearance_distance,
    cosine_distance,
    part_agreement,
    patch_distance,
    total_variation,
)

Images = Sequence[Image]


class Appearance:
    """d_app over the outside region, on pixels in [0, 1].

    It stands in for the usual spatial LPIPS, whose pretrained network does not come with this package.
    """

    part = "appearance"

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N mean differences of colours and image gradients."""
        one, other = _pixels(first), _pixels(second)
        outside = torch.ones_like(one[:, 0], dtype=torch.bool) if region is None else region.outside_NHW
        return appearance_distance(one, other, _fitted(outside, one[:, 0]))


class Structure:
    """d_str: 1 - mean cosine of the suite's patch features, over patches at least 90 % outside."""

    part = "structure"

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N distances of patch features."""
        one, other = suite.patch_features(first), suite.patch_features(second)
        outside = torch.ones_like(one[:, 0], dtype=torch.bool) if region is None else region.outside_NHW
        return patch_distance(one, other, outside)


class Layout:
    """d_lay: 1 - seg_cons_out, the mean IoU of parts outside the region without the allowed parts."""

    part = "layout"

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N shares of disagreement between the two part maps."""
        one, other = suite.segment(first), suite.segment(second)
        if region is None:
            return 1 - part_agreement(one, other, torch.ones_like(one, dtype=torch.bool), frozenset())
        return 1 - part_agreement(one, other, _fitted(region.layout_NHW, one), suite.allowed_parts(target))


class Identity:
    """d_id: 1 - cosine of identity embeddings; not applicable where the target alters the identity."""

    part = "identity"

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N identity distances."""
        if region is not None and suite.changes_identity(target):
            return torch.full((len(first),), torch.nan)
        return cosine_distance(suite.identity(first), suite.identity(second), dim=-1)


class Attributes:
    """d_att: mean total variation of attribute probabilities, attributes the target may change left out."""

    part = "attributes"

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N mean total variations, in [0, 1]."""
        allowed = frozenset() if region is None else suite.allowed_attributes(target)
        one, other = suite.attribute_probabilities(first), suite.attribute_probabilities(second)
        kept = [total_variation(one[name], other[name]) for name in one if name not in allowed]
        return torch.stack(kept).mean(dim=0) if kept else torch.full((len(first),), torch.nan)


class AttributesOutside(Attributes):
    """d_att of what lies outside the region: inside it, the other picture shows the first one's pixels.

    A zero-shot judge reads an attribute from the whole picture, so that the target itself moves all of them.
    Without the target's pixels, only the rest can. Where nothing lies outside, whole pictures are compared.
    """

    def __call__(
        self, suite: Suite, first: Images, second: Images, region: Region | None, target: str
    ) -> Tensor:
        """Return N mean total variations, in [0, 1]."""
        if region is not None:
            kept = zip(first, second, region.outside_NHW, strict=True)
            second = [_outside_of(other, one, outside_HW) for one, other, outside_HW in kept]
        return super().__call__(suite, first, second, region, target)


def _outside_of(image: Image, instead: Image, outside_HW: Tensor) -> Image:
    """The image outside, and `instead` inside; the whole image where nothing is outside."""
    if not outside_HW.any():
        return image
    mask = from_array(255 * outside_HW.numpy().astype(np.uint8)).resize(image.size, Resampling.NEAREST)
    return composite(image.convert("RGB"), instead.convert("RGB"), mask)


def _pixels(images: Images) -> Tensor:
    arrays = [np.asarray(image.convert("RGB"), np.float32) / 255 for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def _fitted(mask_NHW: Tensor, like_NHW: Tensor) -> Tensor:
    """The mask at another resolution: a pixel counts when the nearest one of the mask does."""
    if mask_NHW.shape == like_NHW.shape:
        return mask_NHW
    return F.interpolate(mask_NHW[:, None].float(), like_NHW.shape[-2:], mode="nearest")[:, 0] > 0.5
