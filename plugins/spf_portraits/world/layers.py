"""Vector parts of a portrait, rasterised one by one and cached.

Drawing units are those of python_avatars: the head is 112 wide and centred on x = 132, the body ends
at y = 280.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from xml.etree import ElementTree

import python_avatars as pa
import resvg_py
from PIL import Image

LEFT, TOP, EXTENT = -66.0, -106.0, 396.0
_SVG = "{http://www.w3.org/2000/svg}"
_PIVOTS = {"Mouth": (56, 73), "Nose": (56, 48), "Eyes": (56, 30), "Eyebrow": (56, 26), "Top": (132, 112)}
_TYPES = {
    "top": (pa.HairType, pa.HatType),
    "eyes": (pa.EyeType,),
    "eyebrows": (pa.EyebrowType,),
    "nose": (pa.NoseType,),
    "mouth": (pa.MouthType,),
    "facial_hair": (pa.FacialHairType,),
    "accessory": (pa.AccessoryType,),
    "clothing": (pa.ClothingType,),
}


@dataclass(frozen=True)
class Layer:
    """What to draw: a group of a python_avatars figure with `parts` set, or a raw SVG `fragment`.

    `recolor` replaces values written in the figure's SVG, `clip_y` hides what lies above that height.
    """

    part: str
    group: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    color: str = ""
    scale: float = 1.0
    fragment: str = ""
    clip_y: float = TOP
    recolor: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Raster:
    """A drawn layer: an RGBA crop and where its corner lies, in pixels of a canvas of `resolution` pixels."""

    image: Image.Image
    x: int
    y: int


@lru_cache(maxsize=4096)
def rasterise(layer: Layer, resolution: int) -> Raster | None:
    """The layer on a canvas of `resolution` x `resolution` pixels, EXTENT units wide; None when empty."""
    svg = _fragment(layer, resolution) if layer.fragment else _figure(layer, resolution)
    data = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    top = max(0, round((layer.clip_y - TOP) * resolution / EXTENT))
    image.paste((0, 0, 0, 0), (0, 0, resolution, top))
    box = image.getchannel("A").getbbox()
    return Raster(image.crop(box), box[0], box[1]) if box else None


def _canvas(resolution: int) -> dict[str, str]:
    size = str(resolution)
    return {"width": size, "height": size, "viewBox": f"{LEFT} {TOP} {EXTENT} {EXTENT}"}


def _fragment(layer: Layer, resolution: int) -> str:
    attributes = " ".join(f'{name}="{value}"' for name, value in _canvas(resolution).items())
    body = layer.fragment.replace("currentColor", layer.color)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'


def _figure(layer: Layer, resolution: int) -> str:
    root = ElementTree.fromstring(_avatar(layer).render())
    for name, value in _canvas(resolution).items():
        root.set(name, value)
    figure = root.find(f"{_SVG}g")
    assert figure is not None
    _isolate(figure, layer)
    svg = ElementTree.tostring(root, encoding="unicode")
    for drawn, wanted in layer.recolor:
        svg = svg.replace(drawn, wanted)
    return svg


def _isolate(group: ElementTree.Element, layer: Layer) -> None:
    for child in list(group):
        name = child.get("id", "").rsplit("_", 1)[-1]
        if name == layer.group:
            _magnify(child, name, layer.scale)
        elif name == "Face" and layer.group in ("Mouth", "Nose", "Eyes", "Eyebrow"):
            _isolate(child, layer)
        else:
            group.remove(child)


def _magnify(element: ElementTree.Element, name: str, scale: float) -> None:
    if scale == 1.0:
        return
    x, y = _PIVOTS[name]
    grow = f"translate({x} {y}) scale({scale}) translate({-x} {-y})"
    element.set("transform", f"{grow} {element.get('transform', '')}".strip())


def _avatar(layer: Layer) -> pa.Avatar:
    chosen: dict[str, object] = dict.fromkeys(_TYPES, "") | {"top": pa.HairType.NONE}
    for slot, value in layer.parts:
        chosen[slot] = _member(slot, value)
    colors = ("hat_color", "skin_color", "hair_color", "facial_hair_color", "clothing_color")
    return pa.Avatar(shirt_graphic=pa.ClothingGraphic.NONE, **dict.fromkeys(colors, layer.color), **chosen)


def _member(slot: str, value: str) -> object:
    for kind in _TYPES[slot]:
        for member in kind:
            if f"{kind.__name__}.{member.name}" == value:
                return member
    raise KeyError(value)
