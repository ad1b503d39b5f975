"""Between pixels in [-1, 1] and pictures."""

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_pixels(images: Iterable[np.ndarray]) -> Tensor:
    """Stack uint8 H W 3 images into B 3 H W floats in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2)
    return stacked.float() / 127.5 - 1


def to_images(pixels_B3HW: Tensor) -> list[Image.Image]:
    """Pictures of pixels in [-1, 1]; what lies beyond is clipped."""
    array = ((pixels_B3HW.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(image) for image in array]
