"""What a portrait can be fine-tuned towards: facial attributes, objects and styles of the embedded world."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = ("hair_color", "skin", "clothes_color", "background")


@dataclass(frozen=True)
class Target:
    """A fine-tuning target.

    `group` says how the base model meets it: "weak" targets are rare in its training images, "novel" ones
    absent. `allowed_parts` are the parts of the picture the target may change, `allowed_attributes` the
    attributes it may legitimately hide or alter, `scope` whether it touches a region ("local") or every
    pixel ("global").
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
    return Target(name, "style", group, phrasings, ("all",), allowed_attributes, "global")


_ALL = (
    Target("sunglasses", "object", "weak",
           ("wearing sunglasses", "with dark sunglasses", "wearing black sunglasses"),
           ("accessory", "eyes", "skin"), ("eyes",)),
    Target("hat", "object", "weak",
           ("wearing a hat", "with a hat", "wearing a wide hat"),
           ("headwear", "hair", "skin"), ("hair_style", "hair_color")),
    Target("beard", "face", "weak",
           ("with a beard", "with a full beard", "having a beard"),
           ("facial_hair", "skin", "mouth")),
    Target("freckles", "face", "weak",
           ("with freckles", "with freckles on the cheeks", "having freckles"),
           ("cheeks", "skin")),
    _style("sketch", "weak", ("as a pencil sketch", "pencil sketch style", "drawn as a sketch"), COLOURS),
    Target("round-glasses", "object", "novel",
           ("wearing round glasses", "with round glasses", "wearing round eyeglasses"),
           ("accessory", "eyes", "skin"), ("eyes",)),
    Target("turban", "object", "novel",
           ("wearing a turban", "with a turban", "wearing a purple turban"),
           ("headwear", "hair", "skin"), ("hair_style", "hair_color")),
    Target("moustache", "face", "novel",
           ("with a moustache", "with a thick moustache", "having a moustache"),
           ("facial_hair", "skin", "mouth")),
    Target("eyepatch", "object", "novel",
           ("wearing an eyepatch", "with an eyepatch", "with an eyepatch over one eye"),
           ("accessory", "eyes", "skin", "hair"), ("eyes",)),
    Target("blush", "face", "novel",
           ("with blush on the cheeks", "with a pink blush", "having a blush"),
           ("cheeks", "skin")),
    _style("pixel-art", "novel", ("as pixel art", "pixel art style", "in pixel art"), ("expression", "eyes")),
    _style("sepia", "novel", ("in sepia", "sepia style", "as a sepia photograph"), COLOURS),
)

TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
