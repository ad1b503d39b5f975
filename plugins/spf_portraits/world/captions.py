"""Captions of portraits: base text with its attribute phrases, and target text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from .spec import ATTRIBUTES, Portrait, check_attribute
from .targets import TARGETS

GROUPS: dict[str, tuple[str, ...]] = {
    "framing": ("framing",),
    "person": ("expression",),
    "skin": ("skin",),
    "hair": ("hair_style", "hair_color"),
    "eyes": ("eyes",),
    "clothes": ("clothes", "clothes_color"),
    "facing": ("facing",),
    "background": ("background",),
}
# An opening, then clauses in order: (group, words before the phrase).
TEMPLATES: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("framing", ""),
        ("person", " of "),
        ("skin", " with "),
        ("hair", ", "),
        ("eyes", ", "),
        ("clothes", ", wearing "),
        ("facing", ", "),
        ("background", ", on "),
    ),
    (
        ("framing", ""),
        ("person", " of "),
        ("clothes", " in "),
        ("hair", ", with "),
        ("skin", ", "),
        ("eyes", ", "),
        ("background", ", in front of "),
        ("facing", ", "),
    ),
    (
        ("person", ""),
        ("facing", " "),
        ("hair", ", "),
        ("eyes", ", "),
        ("skin", ", "),
        ("clothes", ", "),
        ("background", ", "),
        ("framing", ", "),
    ),
    (
        ("framing", ""),
        ("background", " on "),
        ("person", ", "),
        ("hair", " with "),
        ("skin", " and "),
        ("facing", ", "),
        ("clothes", ", dressed in "),
        ("eyes", ", "),
    ),
    (
        ("person", ""),
        ("clothes", " wearing "),
        ("background", ", "),
        ("skin", ", "),
        ("eyes", ", "),
        ("hair", ", "),
        ("framing", ", "),
        ("facing", ", "),
    ),
)
_FRAMING = {
    "close-up": "a close-up portrait",
    "half-length": "a half-length portrait",
    "far": "a distant portrait",
}
_HAIR = {
    "short": "short {}hair",
    "mohawk": "{a} {}mohawk",
    "bun": "{}hair in a bun",
    "bob": "{a} {}bob",
    "straight": "long straight {}hair",
    "afro": "{a} {}afro",
    "wavy": "long wavy {}hair",
    "bald": "a bald head",
}


@dataclass(frozen=True)
class Caption:
    """A caption; `base_phrases` occur in `base_text` in that order, one a group of mentioned attributes."""

    base_text: str
    target_text: str | None
    base_phrases: tuple[str, ...]
    mentioned: tuple[str, ...]

    @property
    def complete_text(self) -> str:
        """Base text and target text together; the base text alone without a target."""
        return f"{self.base_text}, {self.target_text}" if self.target_text else self.base_text


def describe(
    portrait: Portrait,
    rng: np.random.Generator,
    *,
    mention: Collection[str] | None = None,
    phrasing: int | None = None,
) -> Caption:
    """A caption of `portrait` that speaks of the attributes in `mention` (all when None) and of no other.

    `phrasing` picks the wording (any integer, taken modulo what there is); None draws it from `rng`.
    Raises ConfigError for an attribute that does not exist.
    """
    wanted = _wanted(mention)
    choice = int(rng.integers(1 << 16)) if phrasing is None else phrasing
    template = TEMPLATES[choice % len(TEMPLATES)]
    phrases = {group: _phrase(group, portrait, wanted) for group in GROUPS}
    text = _compose(template, phrases)
    spoken = [group for group, _ in template if phrases[group]]
    names = {name for group in spoken for name in GROUPS[group] if name in wanted}
    return Caption(
        base_text=text,
        target_text=_target_text(portrait, choice // len(TEMPLATES) if phrasing is None else phrasing),
        base_phrases=tuple(phrases[group] for group in spoken),
        mentioned=tuple(name for name in ATTRIBUTES if name in names),
    )


def phrase_spans(caption: Caption) -> list[tuple[int, int]]:
    """Where each base phrase stands in the base text, as [start, end) in characters."""
    spans, position = [], 0
    for phrase in caption.base_phrases:
        start = caption.base_text.index(phrase, position)
        position = start + len(phrase)
        spans.append((start, position))
    return spans


def _wanted(mention: Collection[str] | None) -> set[str]:
    for name in mention or ():
        check_attribute(name)
    return set(ATTRIBUTES if mention is None else mention)


def _target_text(portrait: Portrait, choice: int) -> str | None:
    if portrait.target is None:
        return None
    phrasings = TARGETS[portrait.target].phrasings
    return phrasings[choice % len(phrasings)]


def _compose(template: tuple[tuple[str, str], ...], phrases: dict[str, str]) -> str:
    silent = {"person": "a person", "framing": "a portrait" if template[0][0] == "framing" else ""}
    text = ""
    for group, lead in template:
        phrase = phrases[group] or silent.get(group, "")
        text += lead + phrase if phrase else ""
    return text


def _phrase(group: str, portrait: Portrait, wanted: set[str]) -> str:
    """The words for one group of attributes; empty when none of them is wanted."""
    if group == "hair":
        return _hair_phrase(portrait, "hair_style" in wanted, "hair_color" in wanted)
    if group == "clothes":
        return _clothes_phrase(portrait, "clothes" in wanted, "clothes_color" in wanted)
    if GROUPS[group][0] not in wanted:
        return ""
    return {
        "framing": _FRAMING[portrait.framing],
        "person": f"a {portrait.expression} person",
        "skin": f"{portrait.skin} skin",
        "eyes": "one winking eye" if portrait.eyes == "winking" else f"{portrait.eyes} eyes",
        "facing": f"facing {portrait.facing}",
        "background": f"{_article(portrait.background)} {portrait.background} background",
    }[group]


def _hair_phrase(portrait: Portrait, style: bool, color: bool) -> str:
    if portrait.hair_style == "bald":
        return _HAIR["bald"] if style else ""
    shade = f"{portrait.hair_color} " if color else ""
    if not style:
        return f"{shade}hair" if color else ""
    return _HAIR[portrait.hair_style].format(shade, a=_article(shade or portrait.hair_style))


def _clothes_phrase(portrait: Portrait, kind: bool, color: bool) -> str:
    if not kind:
        return f"{portrait.clothes_color} clothes" if color else ""
    words = f"{portrait.clothes_color} {portrait.clothes}" if color else portrait.clothes
    return f"{_article(words)} {words}"


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"
