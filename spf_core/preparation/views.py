"""What of each image is shown: crops, mirroring, and buckets of pictures of one shape. Torch-free."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spf_core.config.sections import DatasetSection
from spf_core.data import Row, View
from spf_core.data.images import upright_size

WIDEST = 2.0  # sides of a bucket lie between the model's divided by and multiplied with this


def with_views(rows: Sequence[Row], options: DatasetSection, side: int, step: int, seed: int) -> list[Row]:
    """Every row once for each of `options.views`; all wordings of an image share its views.

    `side` is the model's in pixels, `step` what the sides of buckets are multiples of. The draw is a function
    of the seed and of the image's place among the images.
    """
    shapes = bucket_sizes(side, step) if options.buckets else []
    images = {image: number for number, image in enumerate(dict.fromkeys(row.image for row in rows))}
    sizes = {image: nearest(upright_size(image), shapes) if shapes else None for image in images}
    return [
        replace(row, view=_view(options, sizes[row.image], (seed, images[row.image]), number))
        for number in range(options.views)
        for row in rows
    ]


def bucket_sizes(side: int, step: int) -> list[tuple[int, int]]:
    """Widths and heights that are multiples of `step` and hold at most side^2 pixels, as many as fit.

    Both sides lie between half and twice the model's.
    """
    low, high = side / WIDEST, side * WIDEST
    widths = range(math.ceil(low / step) * step, int(high) + 1, step)
    found = [(width, side * side // width // step * step) for width in widths]
    return [(width, height) for width, height in found if low <= height <= high]


def nearest(size: tuple[int, int], shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The shape whose width over height is most like that of `size`; of two, the larger."""

    def distance(shape: tuple[int, int]) -> tuple[float, int]:
        wanted, found = (math.log(width / height) for width, height in (size, shape))
        return round(abs(wanted - found), 6), -shape[0] * shape[1]

    return min(shapes, key=distance)


def bucket_step(side: int, vae_factor: int) -> int:
    """64 pixels, or for models of less than 256 pixels a quarter of the side; a multiple of the VAE's factor.

    Multiples of 64 pixels are what Stable Diffusion's U-Nets halve without a remainder.
    """
    step = min(64, side // 4)
    return max(vae_factor, step // vae_factor * vae_factor)


def _view(options: DatasetSection, size: tuple[int, int] | None, seed: tuple[int, int], number: int) -> View:
    first = bool(np.random.default_rng(seed).random() < 0.5)  # views alternate, so that two show both
    x, y = np.random.default_rng((*seed, number)).random(2).tolist()
    if options.crop == "center":
        x, y = 0.5, 0.5
    return View(size, x, y, flip=options.flip and first == (number % 2 == 0))
