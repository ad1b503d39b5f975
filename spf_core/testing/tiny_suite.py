"""A world for tests of metrics and scores: its judges compute with pixels and learnt nothing."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces import PuritySet, Region, TrainingFacts, UnseenPrompt
from spf_core.utils.pixels import to_pixels


class TinySuite:
    """One target, `hat`, which is the brightness of the upper half; satisfies `interfaces.Suite`."""

    label = "tiny"
    targets: tuple[str, ...] = ("hat",)
    attributes: Mapping[str, tuple[str, ...]] = {"background": ("dark", "bright")}
    purity = PuritySet("tiny", ())

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """It has no pictures of its own."""
        raise NotImplementedError

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """It wrote none."""
        return None

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """It has none of its own."""
        return []

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image]:
        """It has none of its own."""
        return []

    def target_probability(self, images: Sequence[Image], target: str) -> Tensor:
        """The mean brightness of the upper half, N."""
        pixels = _pixels(images)
        return pixels[:, :, : pixels.shape[2] // 2].mean((1, 2, 3))

    def attribute_probabilities(self, images: Sequence[Image]) -> Mapping[str, Tensor]:
        """How dark and how bright the picture is, N 2."""
        bright_N = _pixels(images).mean((1, 2, 3))
        return {"background": torch.stack([1 - bright_N, bright_N], dim=1)}

    def segment(self, images: Sequence[Image]) -> Tensor:
        """Part 1 where a pixel is bright, N H W."""
        return (_pixels(images).mean(1) > 0.5).long()

    def identity(self, images: Sequence[Image]) -> Tensor:
        """The picture at 4 x 4 pixels with unit norm, N 48."""
        return F.normalize(F.adaptive_avg_pool2d(_pixels(images), 4).flatten(1), dim=1)

    def patch_features(self, images: Sequence[Image]) -> Tensor:
        """The picture at 4 x 4 pixels, N 3 4 4."""
        return F.adaptive_avg_pool2d(_pixels(images), 4)

    def region(self, a: Sequence[Image], other: Sequence[Image], target: str) -> Region:
        """The lower half must not change."""
        outside = torch.zeros(len(a), a[0].height, a[0].width, dtype=torch.bool)
        outside[:, a[0].height // 2 :] = True
        return Region(outside, outside.clone())

    def allowed_parts(self, target: str) -> frozenset[int]:
        """Bright pixels."""
        return frozenset({1})

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """None."""
        return frozenset()

    def changes_identity(self, target: str) -> bool:
        """A hat does not."""
        return False


def _pixels(images: Sequence[Image]) -> Tensor:
    """In [0, 1], N 3 H W."""
    return (to_pixels([np.asarray(image) for image in images]) + 1) / 2
