"""The mathematics of the score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from spf_core.interfaces import Backbone, Column, Quadruples, Suite
from torch import Tensor


class NewThingScore:
    """-10 log10 mean (A - C)^2 for pixels in [0, 1], in decibels."""

    provenance: Mapping[str, Any] = {"model": "none: a formula of pixels"}

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> Mapping[str, Column]:
        """Compare A, the original, with C, the tuned picture."""
        error_N = (_pixels(quads.a) - _pixels(quads.c)).square().mean((1, 2, 3))
        values_N = -10 * error_N.clamp(min=1e-10).log10()
        return {"": Column("decibels between original and tuned picture", "higher", values_N)}


def _pixels(images: Sequence[Image]) -> Tensor:
    """In [0, 1], N H W 3."""
    return torch.stack([torch.from_numpy(np.array(image.convert("RGB"))) for image in images]).float() / 255
