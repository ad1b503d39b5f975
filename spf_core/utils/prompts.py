"""A training or sampling text: base, target, phrases and how they join. Torch-free."""

import re
from dataclasses import dataclass

from spf_core.errors import ConfigError, short

_WORDS = ("with", "in front of", "in", "on", "and", "against")
_CONNECTIVES = re.compile(rf"\s*(?:,|;|\b(?:{'|'.join(_WORDS)})\b)\s*", re.IGNORECASE)


def split_phrases(text: str) -> tuple[str, ...]:
    """Split a base text into phrases at commas and connectives; each is a substring of `text`, in order."""
    return tuple(part for part in (piece.strip() for piece in _CONNECTIVES.split(text)) if part)


@dataclass(frozen=True)
class Prompt:
    """A base text, an optional target text, and the base text's phrases.

    The complete text is base + ", " + target, so that every base token keeps its position; or, with
    `replaces`, the base text with the target in place of the first occurrence of those words. ConfigError for
    a text that no tokenizer takes.
    """

    base_text: str
    target_text: str | None = None
    base_phrases: tuple[str, ...] = ()
    replaces: str | None = None

    def __post_init__(self) -> None:
        for text in (self.base_text, self.target_text or ""):
            if fault := text_fault(text):
                raise ConfigError(f"the text '{short(text)}' {fault}")

    @property
    def complete_text(self) -> str:
        """Base text joined with the target text, if there is one."""
        if not self.target_text:
            return self.base_text
        if self.replaces:
            return self.base_text.replace(self.replaces, self.target_text, 1)
        return f"{self.base_text}, {self.target_text}"

    @property
    def phrases(self) -> tuple[str, ...]:
        """The given base phrases, or those found by `split_phrases`."""
        return self.base_phrases or split_phrases(self.base_text)

    def phrase_spans(self, *, complete: bool = False) -> list[tuple[int, int]]:
        """Character spans of the phrases in the base text, or in the complete one.

        Left out are phrases that do not occur and those of which the target replaces some.
        """
        spans, start = [], 0
        for phrase in self.phrases:
            found = self.base_text.find(phrase, start)
            if found >= 0:
                spans.append((found, found + len(phrase)))
                start = found + len(phrase)
        gone = self._replaced_span()
        if gone is None:
            return spans
        longer = len(self.target_text or "") - (gone[1] - gone[0]) if complete else 0
        before = [span for span in spans if span[1] <= gone[0]]
        return [*before, *((a + longer, b + longer) for a, b in spans if a >= gone[1])]

    def target_span(self) -> tuple[int, int] | None:
        """Character span of the target text in the complete text."""
        if not self.target_text:
            return None
        gone = self._replaced_span()
        first = len(self.complete_text) - len(self.target_text) if gone is None else gone[0]
        return first, first + len(self.target_text)

    def _replaced_span(self) -> tuple[int, int] | None:
        if not (self.replaces and self.target_text):
            return None
        first = self.base_text.find(self.replaces)
        return first, first + len(self.replaces)


_NOT_TAKEN = re.compile("[\0\ud800-\udfff]")


def text_fault(text: str) -> str | None:
    """Why no tokenizer takes the text, as the end of a sentence about it; None for a text that all take.

    Every text that a user gives goes through here: rows, prompts, settings, texts of a study.
    """
    found = _NOT_TAKEN.search(text)
    if found is None:
        return None
    what = "half of a character"
    if found[0] == "\0":
        what = "a NUL character"
    elif "\udc80" <= found[0] <= "\udcff":  # Python's sign for a byte of an argument that is no UTF-8
        what = "a byte that is no UTF-8, or half of a character,"
    before, last = text.count("\n", 0, found.start()), text.rfind("\n", 0, found.start())
    place = f"position {found.start() - last}" + (f" of line {before + 1}" if before else "")
    return f"holds {what} at {place}, which no tokenizer takes; write the text anew, in UTF-8"
