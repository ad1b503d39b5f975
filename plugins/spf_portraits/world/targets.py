"""What a portrait can be fine-tuned towards: facial attributes, objects and styles of the embedded world."""

from __future__ import annotations

from dataclasses import dataclass

PARTS: tuple[str, ...] = (
    "background",
    "skin",
    "clothes",
    "cheeks",
    "mouth",
    "eyes",
    "eyebrows",
    "facial_hair",
    "hair",
    "accessory",
    "headwear",
)
_AROUND_EYES = ("accessory", "eyes", "eyebrows", "skin", "hair", "background")
_ON_TOP = ("headwear", "hair", "skin", "eyebrows", "eyes", "background")
COLOURS = ("hair_color", "skin", "clothes_color", "background")


@dataclass(frozen=True)
class Target:
    """A fine-tuning target.

    `group` says how the base model meets it: "weak" targets are rare in its training images, "novel" ones
    absent. `allowed_parts` are the parts of the picture the target may show or cover, `allowed_attributes`
    the attributes it may legitimately hide or alter, `scope` whether it touches a region ("local") or
    every pixel ("global").
    """

    name: str
    family: str
    group: str
    phrasings: tuple[str, ...]
    allowed_parts: tuple[str, ...]
    allowed_attributes: tuple[str, ...] = ()
    scope: str = "local"

    @property
    def phrase(self) -> str:
        """The usual wording, the first of the phrasings."""
        return self.phrasings[0]


def _style(name: str, group: str, phrasings: tuple[str, ...], allowed_attributes: tuple[str, ...]) -> Target:
    return Target(name, "style", group, phrasings, PARTS, allowed_attributes, "global")


_ALL = (
    Target(
        "sunglasses",
        "object",
        "weak",
        ("wearing sunglasses", "with dark sunglasses", "wearing black sunglasses"),
        _AROUND_EYES,
        ("eyes",),
    ),
    Target(
        "hat",
        "object",
        "weak",
        ("wearing a hat", "with a hat", "wearing a wide hat"),
        _ON_TOP,
        ("hair_style", "hair_color"),
    ),
    Target(
        "beard",
        "face",
        "weak",
        ("with a beard", "with a full beard", "having a beard"),
        ("facial_hair", "skin", "mouth", "clothes", "hair", "background"),
    ),
    Target(
        "freckles",
        "face",
        "weak",
        ("with freckles", "with freckles on the cheeks", "having freckles"),
        ("cheeks", "skin", "hair"),
    ),
    _style("sketch", "weak", ("as a pencil sketch", "pencil sketch style", "drawn as a sketch"), COLOURS),
    Target(
        "round-glasses",
        "object",
        "novel",
        ("wearing round glasses", "with round glasses", "wearing round eyeglasses"),
        _AROUND_EYES,
        ("eyes",),
    ),
    Target(
        "turban",
        "object",
        "novel",
        ("wearing a turban", "with a turban", "wearing a purple turban"),
        _ON_TOP,
        ("hair_style", "hair_color"),
    ),
    Target(
        "moustache",
        "face",
        "novel",
        ("with a moustache", "with a thick moustache", "having a moustache"),
        ("facial_hair", "skin", "mouth"),
    ),
    Target(
        "eyepatch",
        "object",
        "novel",
        ("wearing an eyepatch", "with an eyepatch", "with an eyepatch over one eye"),
        _AROUND_EYES,
        ("eyes",),
    ),
    Target(
        "blush",
        "face",
        "novel",
        ("with blush on the cheeks", "with a pink blush", "having a blush"),
        ("cheeks", "skin", "hair"),
    ),
    _style("pixel-art", "novel", ("as pixel art", "pixel art style", "in pixel art"), ("expression", "eyes")),
    _style("sepia", "novel", ("in sepia", "sepia style", "as a sepia photograph"), COLOURS),
)

TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
