"""Pictures as data URIs, so that the page holds them itself."""

import io
from base64 import b64encode
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spf_lab.evaluation.pictures import LOSSY
from spf_lab.evaluation.purity import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAT = "viridis"
LARGEST = 384  # pixels of a picture's side in the page
WIDE = 2000  # of a sample grid's, or a plot's
_LOSSLESS = 128  # up to here a picture is kept as it is


def picture(image: Image.Image, largest: int = LARGEST) -> str:
    """A small picture as PNG; a large one as JPEG, its sides at most `largest` pixels; WebP where it was."""
    if image.info.get(LOSSY):
        return _uri(image, "WEBP", quality=92)
    if max(image.size) <= _LOSSLESS:
        return _uri(image.convert("RGB"), "PNG")
    smaller = image.convert("RGB")
    smaller.thumbnail((largest, largest))
    return _uri(smaller, "JPEG", quality=88)


def heat(values_HW: Floats, top: float) -> str:
    """Values from 0 to `top` in viridis, a pixel each."""
    return _uri(_coloured(values_HW, top).quantize(256), "PNG")


def change_map(values_HW: Floats, top: float, region_HW: NDArray[np.bool_] | None) -> str:
    """Like `heat`, enlarged, with the region's border in white where there is one."""
    factor = max(1, 192 // values_HW.shape[1])
    enlarged = _coloured(values_HW, top).resize(
        (values_HW.shape[1] * factor, values_HW.shape[0] * factor), Image.Resampling.NEAREST
    )
    pixels = np.array(enlarged)
    if region_HW is not None:
        inside = np.kron(region_HW, np.ones((factor, factor), bool))
        edge = np.zeros_like(inside)
        edge[1:] |= inside[1:] != inside[:-1]
        edge[:, 1:] |= inside[:, 1:] != inside[:, :-1]
        pixels[edge] = 255
    return _uri(Image.fromarray(pixels).quantize(256), "PNG")


def vector(figure: "Figure") -> str:
    """A matplotlib figure as SVG, the same bytes for the same figure."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context({"svg.hashsalt": "spf"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{b64encode(stream.getvalue()).decode()}"


def _coloured(values_HW: Floats, top: float) -> Image.Image:
    from matplotlib import colormaps

    shades = colormaps[HEAT](np.clip(values_HW / (top or 1.0), 0, 1))[..., :3]
    return Image.fromarray((255 * shades).round().astype(np.uint8))


def _uri(image: Image.Image, kind: str, **options: int) -> str:
    stream = io.BytesIO()
    image.save(stream, format=kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{b64encode(stream.getvalue()).decode()}"
