"""The specification of an embedded portrait: its attributes, its target, and how one is sampled."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from spf_core.errors import ConfigError, did_you_mean

from .targets import TARGETS, Target

__all__ = [
    "ATTRIBUTES",
    "SPLITS",
    "TARGETS",
    "Portrait",
    "Target",
    "check_attribute",
    "check_bias",
    "check_target",
    "sample_portrait",
    "split_of",
]

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_style": ("bald", "short", "mohawk", "bun", "bob", "straight", "afro", "wavy"),
    "hair_color": ("none", "black", "brown", "blonde", "red", "gray", "pink", "blue"),
    "skin": ("pale", "tanned", "brown", "dark"),
    "clothes": ("hoodie", "t-shirt", "blazer", "overall", "sweater"),
    "clothes_color": ("red", "blue", "green", "yellow", "black", "white", "pink"),
    "expression": ("laughing", "smiling", "sad", "serious", "surprised"),
    "eyes": ("open", "closed", "winking"),
    "background": ("teal", "white", "yellow", "purple", "navy", "green", "orange", "gray"),
    "framing": ("close-up", "half-length", "far"),
    "facing": ("left", "right"),
}
SPLITS = ("train", "dev", "test")
BROWS = ("thin", "thick")
NOSES = ("default", "small", "wide")
_MAX_DRAWS = 10_000


@dataclass(frozen=True)
class Portrait:
    """One portrait: a value per attribute, fine traits of person and pose, and a target or none.

    `shift_x` and `shift_y` are fractions of the view, `scale_jitter` and `head_width` factors about 1,
    `face_y` an offset of the features in drawing units (the head is 112 wide).
    """

    hair_style: str
    hair_color: str
    skin: str
    clothes: str
    clothes_color: str
    expression: str
    eyes: str
    background: str
    framing: str
    facing: str
    eyebrows: str = "thin"
    nose: str = "default"
    head_width: float = 1.0
    face_y: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    scale_jitter: float = 1.0
    target: str | None = None

    def identity(self) -> str:
        """A stable key of the person, the same under another expression, eyes, pose, clothes or target."""
        traits = (self.hair_style, self.hair_color, self.skin, self.eyebrows, self.nose)
        return "|".join((*traits, f"{self.head_width:.3f}", f"{self.face_y:.2f}"))

    def labels(self) -> dict[str, str]:
        """The ground truth: a value per attribute, and `target` (its name or "none")."""
        values = {name: str(getattr(self, name)) for name in ATTRIBUTES}
        return values | {"target": self.target or "none"}


def split_of(values: Mapping[str, str]) -> str:
    """The split of a combination of attribute values: a stable hash, 80 % train, 10 % dev, 10 % test."""
    key = "|".join(values[name] for name in ATTRIBUTES)
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 10
    return {8: "dev", 9: "test"}.get(bucket, "train")


def sample_portrait(
    rng: np.random.Generator,
    *,
    bias: Mapping[str, str] | None = None,
    target: str | None = None,
    split: str = "train",
) -> Portrait:
    """A portrait of `split`, uniform over every attribute value that `bias` does not fix.

    Raises ConfigError when an attribute, a value, the target or the split is unknown, or when the bias
    contradicts itself.
    """
    fixed = check_bias(bias or {})
    if target is not None:
        check_target(target)
    _check("split", split, SPLITS)
    for _ in range(_MAX_DRAWS):
        values = {name: fixed.get(name) or _draw(rng, choices) for name, choices in _choices(fixed).items()}
        if values["hair_style"] == "bald":
            values["hair_color"] = "none"
        if split_of(values) == split:
            return _with_traits(rng, values, target)
    raise ConfigError(f"bias {dict(fixed)} leaves no portrait in split '{split}'. Fix fewer attributes.")


def check_bias(bias: Mapping[str, str]) -> dict[str, str]:
    """`bias` as a plain dict; ConfigError for an unknown attribute or value, or for hair on a bald head."""
    for name, value in bias.items():
        check_attribute(name)
        _check(f"value for '{name}'", value, ATTRIBUTES[name])
    style, color = bias.get("hair_style"), bias.get("hair_color")
    if style and color and (style == "bald") != (color == "none"):
        pair = f"hair_style={style} contradicts hair_color={color}"
        raise ConfigError(f"bias {pair}. Only bald heads have the colour 'none'.")
    return dict(bias)


def check_attribute(name: str) -> None:
    """Raise ConfigError unless there is an attribute called `name`."""
    _check("attribute", name, ATTRIBUTES)


def check_target(name: str) -> Target:
    """The target called `name`, or ConfigError."""
    _check("target", name, TARGETS)
    return TARGETS[name]


def _choices(fixed: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    choices = dict(ATTRIBUTES)
    choices["hair_color"] = choices["hair_color"][1:]
    if fixed.get("hair_color") == "none":
        choices["hair_style"] = ("bald",)
    elif "hair_color" in fixed:
        choices["hair_style"] = choices["hair_style"][1:]
    return choices


def _with_traits(rng: np.random.Generator, values: dict[str, str], target: str | None) -> Portrait:
    return Portrait(
        **values,
        eyebrows=_draw(rng, BROWS),
        nose=_draw(rng, NOSES),
        head_width=round(float(rng.uniform(0.94, 1.06)), 3),
        face_y=round(float(rng.uniform(-4, 4)), 2),
        shift_x=round(float(rng.uniform(-0.03, 0.03)), 4),
        shift_y=round(float(rng.uniform(-0.02, 0.02)), 4),
        scale_jitter=round(float(rng.uniform(0.98, 1.02)), 4),
        target=target,
    )


def _draw(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _check(kind: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(f"unknown {kind} '{name}'.{did_you_mean(name, known)} Known: {', '.join(known)}.")
