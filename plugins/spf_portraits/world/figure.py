"""From a portrait to its layers, bottom to top."""

from __future__ import annotations

from .layers import Layer
from .spec import Portrait

HAIR_COLORS = {
    "none": "#3d1f0d",
    "black": "#1d181b",
    "brown": "#935c28",
    "blonde": "#ecc24a",
    "red": "#c8401a",
    "gray": "#c3c7cd",
    "pink": "#f57fb6",
    "blue": "#3a63dd",
}
SKIN_COLORS = {"pale": "#f9d8c4", "tanned": "#e8b07a", "brown": "#b9744a", "dark": "#6a3f29"}
CLOTHES_COLORS = {
    "red": "#d53530",
    "blue": "#2b6fdc",
    "green": "#2f9d50",
    "yellow": "#f5c62c",
    "black": "#24262b",
    "white": "#f5f5f3",
    "pink": "#ee78b3",
}
HAIR = {
    "short": "HairType.SHORT_FLAT",
    "mohawk": "HairType.MOHAWK",
    "bun": "HairType.BUN",
    "bob": "HairType.BOB",
    "straight": "HairType.STRAIGHT_1",
    "afro": "HairType.FRO",
    "wavy": "HairType.DREADS",
}
CLOTHES = {
    "hoodie": "HOODIE",
    "t-shirt": "SHIRT_CREW_NECK",
    "blazer": "BLAZER_SHIRT",
    "overall": "OVERALL",
    "sweater": "COLLAR_SWEATER",
}
EYES = {"open": "EyeType.DEFAULT", "closed": "EyeType.CLOSED", "winking": "EyeType.WINK"}
BROWS = {
    "laughing": "RAISED_EXCITED",
    "smiling": "DEFAULT",
    "sad": "SAD_CONCERNED",
    "serious": "FLAT",
    "surprised": "RAISED_EXCITED",
}
_STROKE = 'fill="none" stroke="#220a08" stroke-width="6.5" stroke-linecap="round"'
MOUTHS = {
    "smiling": f'<path d="M108 150 Q132 176 156 150" {_STROKE}/>',
    "sad": f'<path d="M110 166 Q132 142 154 166" {_STROKE}/>',
    "serious": f'<path d="M112 157 L152 157" {_STROKE}/>',
    "surprised": '<ellipse cx="132" cy="158" rx="13" ry="16" fill="#220a08"/>',
}
_OPAQUE = (("0.599999964", "0.85"),)
_DOTS = ((91, 130), (101, 136), (111, 131), (95, 142), (106, 145), (115, 140))
FRECKLES = "".join(
    f'<circle cx="{x}" cy="{y}" r="3.8" fill="currentColor"/>' for n, y in _DOTS for x in (n, 264 - n)
)
BLUSH = "".join(
    f'<ellipse cx="{x}" cy="139" rx="14" ry="10" fill="currentColor" fill-opacity="0.8"/>' for x in (102, 162)
)
FRECKLE_COLORS = {"pale": "#a8572a", "tanned": "#7d3a14", "brown": "#5a2a10", "dark": "#22100a"}
BLUSH_COLORS = {"pale": "#ff6f86", "tanned": "#f2566b", "brown": "#e0465f", "dark": "#c23a55"}
ACCESSORIES = {
    "sunglasses": "AccessoryType.WAYFARERS",
    "round-glasses": "AccessoryType.ROUND",
    "eyepatch": "AccessoryType.EYEPATCH",
}
FACIAL_HAIR = {"beard": "BEARD_MAGESTIC", "moustache": "MOUSTACHE_MAGNUM"}
HEADWEAR = {"hat": ("HatType.HAT", "#33404a", 78.0), "turban": ("HatType.TURBAN", "#8a3f96", 84.0)}
# How far a part follows the turn of the head, in units: what stands out of the face moves most.
TURN = {
    "eyes": -9.0,
    "eyebrows": -9.0,
    "mouth": -9.0,
    "nose": -13.0,
    "cheeks": -8.0,
    "accessory": -8.0,
    "facial_hair": -3.0,
}


def layers(portrait: Portrait) -> list[Layer]:
    """The layers of a portrait facing left, bottom to top; the style targets add none."""
    face = [_face(portrait), _facial_hair(portrait)]
    if portrait.target == "beard":  # it would hide the mouth, a moustache would hide behind it
        face.reverse()
    on_top = [*_hair(portrait), *_accessory(portrait), *_headwear(portrait)]
    return [*_body(portrait), *face[0], *face[1], *on_top]


def _body(portrait: Portrait) -> list[Layer]:
    return [
        Layer("skin", "Body", color=SKIN_COLORS[portrait.skin]),
        _clothes(portrait),
        *_cheeks(portrait),
    ]


def _clothes(portrait: Portrait) -> Layer:
    """Clothes in their colour, on a blazer the jacket and not the shirt; white ones get a visible trim."""
    color = CLOTHES_COLORS[portrait.clothes_color]
    trim = "#6f7f94" if portrait.clothes_color == "white" else "#f5f5f3"
    kind = (("clothing", f"ClothingType.{CLOTHES[portrait.clothes]}"),)
    if portrait.clothes == "blazer":
        jacket = (("#3A4C5A", color), ("#2F4351", _darker(color)))
        return Layer("clothes", "Clothing", kind, trim, recolor=jacket)
    return Layer("clothes", "Clothing", kind, color, recolor=(("#F2F2F2", trim),))


def _darker(color: str) -> str:
    return "#" + "".join(f"{int(color[i : i + 2], 16) * 3 // 4:02x}" for i in (1, 3, 5))


def _cheeks(portrait: Portrait) -> list[Layer]:
    if portrait.target == "freckles":
        return [Layer("cheeks", fragment=FRECKLES, color=FRECKLE_COLORS[portrait.skin])]
    if portrait.target == "blush":
        return [Layer("cheeks", fragment=BLUSH, color=BLUSH_COLORS[portrait.skin])]
    return []


def _face(portrait: Portrait) -> list[Layer]:
    natural = "_NATURAL" if portrait.eyebrows == "thick" or portrait.expression == "serious" else ""
    brows = f"EyebrowType.{BROWS[portrait.expression]}{natural}"
    return [
        _mouth(portrait.expression),
        Layer("nose", "Nose", (("nose", f"NoseType.{portrait.nose.upper()}"),), scale=1.3),
        Layer("eyes", "Eyes", (("eyes", EYES[portrait.eyes]),), scale=1.35, recolor=_OPAQUE),
        Layer("eyebrows", "Eyebrow", (("eyebrows", brows),), scale=1.0 if natural else 1.12, recolor=_OPAQUE),
    ]


def _mouth(expression: str) -> Layer:
    if expression == "laughing":
        return Layer("mouth", "Mouth", (("mouth", "MouthType.SMILE"),), scale=1.35)
    return Layer("mouth", fragment=MOUTHS[expression])


def _facial_hair(portrait: Portrait) -> list[Layer]:
    name = FACIAL_HAIR.get(portrait.target or "")
    if name is None:
        return []
    kind = ("facial_hair", f"FacialHairType.{name}")
    color = HAIR_COLORS[portrait.hair_color]
    hidden = portrait.skin == "brown" and portrait.hair_color == "brown"
    return [Layer("facial_hair", "Top", (kind,), _darker(color) if hidden else color)]


def _hair(portrait: Portrait) -> list[Layer]:
    if portrait.hair_style == "bald":
        return []
    layer = Layer("hair", "Top", (("top", HAIR[portrait.hair_style]),), HAIR_COLORS[portrait.hair_color])
    if portrait.target in HEADWEAR:
        return [Layer(layer.part, layer.group, layer.parts, layer.color, clip_y=HEADWEAR[portrait.target][2])]
    return [layer]


def _accessory(portrait: Portrait) -> list[Layer]:
    name = ACCESSORIES.get(portrait.target or "")
    return [Layer("accessory", "Top", (("accessory", name),), scale=1.15)] if name else []


def _headwear(portrait: Portrait) -> list[Layer]:
    if portrait.target not in HEADWEAR:
        return []
    name, color, _ = HEADWEAR[portrait.target]
    return [Layer("headwear", "Top", (("top", name),), color)]
