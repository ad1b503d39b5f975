"""The suite's own prompts: portraits with their attributes marked, so that each can go. Torch-free."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SPLITS = ("test", "dev")
_PART = re.compile(r"\{([^{}]*)\}")
_BARE_HAIR = re.compile(r" (?:with|and) hair(?!\w)")


@dataclass(frozen=True)
class PortraitPrompt:
    """A line of the file: text with parts in braces that name attributes."""

    line: str

    def text(self, without: Collection[str] = ()) -> str:
        """The prompt; it names none of the attributes `without`."""
        text = _PART.sub(lambda part: _words(part[1], without), self.line)
        text = _BARE_HAIR.sub("", text)
        return text[0].upper() + text[1:]

    def mentioned(self, without: Collection[str] = ()) -> dict[str, str]:
        """Attribute -> value that the prompt names."""
        found: dict[str, str] = {}
        for part in _PART.findall(self.line):
            found |= _named(part.removeprefix("person").partition("|")[0])
        return {name: value for name, value in found.items() if name not in without}


@cache
def portrait_prompts(split: str) -> tuple[PortraitPrompt, ...]:
    """The prompts of a split: those at even places name every attribute, the others are silent on some."""
    file = Path(__file__).with_name(f"{split}.txt")
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(PortraitPrompt(line) for line in lines if line and not line.startswith("#"))


def _words(part: str, without: Collection[str]) -> str:
    if part.startswith("person"):
        kept = {name: value for name, value in _named(part[6:]).items() if name not in without}
        return _person(kept)
    named, words, *otherwise = part.split("|")
    gone = any(name in without for name in _named(named))
    return (otherwise[0] if otherwise else "") if gone else words


def _named(text: str) -> dict[str, str]:
    """`age=young gender=woman` as a mapping; a value may hold spaces."""
    found = re.findall(r"(\w+)=([^=]+?)(?= \w+=|$)", text.strip())
    return dict(found)


def _person(known: Mapping[str, str]) -> str:
    age, gender = known.get("age"), known.get("gender")
    noun = gender or ("adult" if age == "young" else "person")
    adjective = f"{age} " if age else ""
    return f"{'an' if adjective.startswith('e') else 'a'} {adjective}{noun}"
