"""A training or sampling text: base, target, phrases and how they join. Torch-free."""

import re
from dataclasses import dataclass

_WORDS = ("with", "in front of", "in", "on", "and", "against")
_CONNECTIVES = re.compile(rf"\s*(?:,|;|\b(?:{'|'.join(_WORDS)})\b)\s*", re.IGNORECASE)


def split_phrases(text: str) -> tuple[str, ...]:
    """Split a base text into phrases at commas and connectives; each is a substring of `text`, in order."""
    return tuple(part for part in (piece.strip() for piece in _CONNECTIVES.split(text)) if part)


@dataclass(frozen=True)
class Prompt:
    """A base text, an optional target text, and the base text's phrases.

    The complete text is base + ", " + target, so that every base token keeps its position.
    """

    base_text: str
    target_text: str | None = None
    base_phrases: tuple[str, ...] = ()

    @property
    def complete_text(self) -> str:
        """Base text joined with the target text, if there is one."""
        return f"{self.base_text}, {self.target_text}" if self.target_text else self.base_text

    @property
    def phrases(self) -> tuple[str, ...]:
        """The given base phrases, or those found by `split_phrases`."""
        return self.base_phrases or split_phrases(self.base_text)

    def phrase_spans(self) -> list[tuple[int, int]]:
        """Character spans of the phrases in the base text (a phrase that does not occur is left out)."""
        spans, start = [], 0
        for phrase in self.phrases:
            found = self.base_text.find(phrase, start)
            if found >= 0:
                spans.append((found, found + len(phrase)))
                start = found + len(phrase)
        return spans

    def target_span(self) -> tuple[int, int] | None:
        """Character span of the target text in the complete text."""
        if not self.target_text:
            return None
        return len(self.complete_text) - len(self.target_text), len(self.complete_text)
