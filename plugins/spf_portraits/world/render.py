"""Pictures of portraits, and the ground truth that goes with them: parts, regions, counterfactuals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .figure import TURN, layers
from .layers import EXTENT, LEFT, TOP, Raster, rasterise
from .spec import Portrait
from .styles import STYLES
from .targets import PARTS, TARGETS

__all__ = ["BACKGROUNDS", "PARTS", "counterfactual", "render", "segment", "target_region"]

BACKGROUNDS = {
    "teal": (32, 158, 150),
    "white": (244, 244, 242),
    "yellow": (248, 222, 96),
    "purple": (126, 82, 198),
    "navy": (34, 46, 92),
    "green": (122, 190, 92),
    "orange": (240, 140, 52),
    "gray": (142, 146, 152),
}
_VIEW = {"close-up": (222.0, 119.0), "half-length": (270.0, 141.0), "far": (344.0, 115.0)}
_SUPERSAMPLING = 4
_FLOOR = 280.0


def render(portrait: Portrait, size: int = 64) -> NDArray[np.uint8]:
    """The picture (size, size, 3), RGB bytes."""
    canvas = Image.new("RGBA", (_SUPERSAMPLING * size,) * 2)
    for _, raster, x, y in _placed(portrait, _SUPERSAMPLING * size):
        canvas.alpha_composite(raster.image, (x, y))
    figure = _view(canvas, portrait, size)
    picture = Image.alpha_composite(_background(portrait.background, size), figure).convert("RGB")
    pixels = np.array(picture)
    style = STYLES.get(portrait.target or "")
    return style(pixels) if style else pixels


def counterfactual(portrait: Portrait) -> Portrait:
    """The same portrait without its target."""
    return replace(portrait, target=None)


def target_region(portrait: Portrait, size: int = 64) -> NDArray[np.bool_]:
    """Where the target shows (size, size): what its absence would change, everything for a style."""
    if portrait.target is None:
        return np.zeros((size, size), bool)
    if TARGETS[portrait.target].scope == "global":
        return np.ones((size, size), bool)
    changed = render(portrait, size) != render(counterfactual(portrait), size)
    return np.asarray(changed.any(axis=-1), bool)


def segment(portrait: Portrait, size: int = 64) -> NDArray[np.uint8]:
    """The part seen at each pixel (size, size), as an index into PARTS; the nose counts as skin."""
    resolution = _SUPERSAMPLING * size
    seen = np.zeros((len(PARTS), size, size), np.float32)
    seen[0] = 1.0
    for part, raster, x, y in _placed(portrait, resolution):
        if part not in PARTS:
            continue
        cover = _cover(raster, x, y, resolution, portrait, size)
        seen *= 1.0 - cover
        seen[PARTS.index(part)] += cover
    return np.asarray(seen.argmax(axis=0), np.uint8)


def _cover(
    raster: Raster, x: int, y: int, resolution: int, portrait: Portrait, size: int
) -> NDArray[np.float32]:
    """How much of each pixel a layer covers; thin translucent strokes count as solid."""
    alpha = np.asarray(raster.image.getchannel("A"))
    solid = np.where(alpha > alpha.max() // 2, 255, 0).astype(np.uint8)
    canvas = Image.new("L", (resolution, resolution))
    canvas.paste(Image.fromarray(solid), (x, y))
    return np.asarray(_view(canvas, portrait, size), np.float32) / np.float32(255)


def _placed(portrait: Portrait, resolution: int) -> list[tuple[str, Raster, int, int]]:
    unit, found = resolution / EXTENT, []
    for layer in layers(portrait):
        raster = rasterise(layer, resolution)
        if raster is None:
            continue
        lift = portrait.face_y if layer.part in TURN else 0.0
        x, y = raster.x + round(TURN.get(layer.part, 0.0) * unit), raster.y + round(lift * unit)
        found.append((layer.part, raster, max(x, 0), max(y, 0)))
    return found


def _view(canvas: Image.Image, portrait: Portrait, size: int) -> Image.Image:
    """The framed cut of the canvas at the final size, antialiased, mirrored when the portrait faces right."""
    extent, middle = _VIEW[portrait.framing]
    height = extent * portrait.scale_jitter
    width = height / portrait.head_width
    left = 132.0 - width * (0.5 + portrait.shift_x)
    top = min(middle - height * (0.5 + portrait.shift_y), _FLOOR - height)
    unit = canvas.width / EXTENT
    corners = ((left - LEFT), (top - TOP), (left + width - LEFT), (top + height - TOP))
    box = tuple(min(max(corner * unit, 0.0), canvas.width) for corner in corners)
    cut = canvas.resize((size, size), Image.Resampling.BOX, box=(box[0], box[1], box[2], box[3]))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if portrait.facing == "right" else cut


def _background(name: str, size: int) -> Image.Image:
    shade = np.linspace(1.04, 0.96, size, dtype=np.float32)[:, None, None]
    plain = np.clip(np.array(BACKGROUNDS[name], np.float32) * shade, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(plain, (size, size, 3)).copy()).convert("RGBA")
