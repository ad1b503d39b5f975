"""The judge of the target: a contrast of two texts, calibrated where pictures with the target are at hand."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL.Image import Image
from torch import Tensor

from spf_photos.judges.contrast import Calibration, Clip, Contrast, calibrate

LEAST = 8  # training images; of fewer, a slope is chance
_log = logging.getLogger("spf")


class TargetJudge(NamedTuple):
    """Probabilities of the target, with how they were calibrated."""

    contrast: Contrast
    calibration: Calibration
    calibrated: bool
    note: str

    def ask(self, images: Sequence[Image]) -> Tensor:
        """N probabilities; NaN where the judge cannot tell the target."""
        if self.calibration.slope == 0:
            return torch.full((len(images),), torch.nan)
        return self.calibration(self.contrast(images))


def target_judge(
    clip: Clip, target: str, positives: Sequence[Image], negatives: Sequence[Image]
) -> TargetJudge:
    """A judge calibrated on training images against the base model's pictures, or uncalibrated without."""
    contrast = Contrast(clip, target)
    if len(positives) < LEAST or not negatives:
        return TargetJudge(contrast, Calibration(), False, "target uncalibrated")
    fitted = calibrate(contrast(positives), contrast(negatives))
    if fitted.slope == 0:
        _log.warning(
            "the judge of the target does not tell training images with '%s' from the base model's pictures; "
            "there is no effect to measure with it",
            target,
        )
        return TargetJudge(contrast, fitted, True, "target not recognised")
    return TargetJudge(contrast, fitted, True, "")
