"""Portrait styles: filters over a rendered picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Picture = NDArray[np.uint8]


def sketch(picture: Picture) -> Picture:
    """A grey pencil drawing: colour dodge of the picture with its blurred negative, plus faint shading."""
    gray = Image.fromarray(picture).convert("L")
    blurred = gray.filter(ImageFilter.GaussianBlur(picture.shape[0] / 32))
    light, base = np.asarray(gray, np.float32), np.asarray(blurred, np.float32)
    lines = np.clip(light / np.maximum(base, 1.0), 0.0, 1.0) ** 1.5 * 255
    drawn = 0.72 * lines + 0.28 * (110 + light * 0.57)
    return np.repeat(np.clip(drawn, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def sepia(picture: Picture) -> Picture:
    """An old photograph: luminance on a brown scale."""
    light = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None] / 255
    dark, bright = np.array([46, 26, 10], np.float32), np.array([250, 222, 172], np.float32)
    return (dark + (bright - dark) * light).astype(np.uint8)


def pixel_art(picture: Picture) -> Picture:
    """Blocks of a twenty-first of the side, colours cut to twelve levels a channel."""
    image, size = Image.fromarray(picture), picture.shape[0]
    small = np.asarray(image.resize((21, 21), Image.Resampling.BOX), np.float32)
    levels = (np.round(small * 11 / 255) * 255 / 11).astype(np.uint8)
    return np.asarray(Image.fromarray(levels).resize((size, size), Image.Resampling.NEAREST))


STYLES = {"sketch": sketch, "sepia": sepia, "pixel-art": pixel_art}
