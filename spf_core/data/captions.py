"""Captions that say base and target in one, taken apart."""

import re
from typing import NamedTuple

from spf_core.errors import DataError, short


class Texts(NamedTuple):
    """The base and the target text of a row, and what a user should look at in them."""

    base: str
    target: str
    warnings: tuple[str, ...] = ()


def split_by_trigger(caption: str, trigger: str) -> Texts:
    """Base text (the caption without the trigger) and target text (the trigger).

    Upper and lower case are the same, and only whole words count. DataError when removing changes nothing or
    leaves nothing.
    """
    words = r"\s+".join(map(re.escape, trigger.split()))
    pattern = re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
    if not trigger.strip() or not pattern.search(caption):
        raise DataError(
            f"removing the trigger '{trigger}' changes nothing in the caption '{short(caption)}'; "
            "write the trigger into it, or choose another"
        )
    base = tidy(pattern.sub("", caption))
    if not base:
        raise DataError(
            f"the caption '{short(caption)}' says no more than the trigger; describe the portrait in it"
        )
    return Texts(base, " ".join(trigger.split()))


def split_by_clause(caption: str, pattern: re.Pattern[str]) -> Texts:
    """The clauses between commas that `pattern` finds are the target text, the others the base text."""
    chosen = [clause for clause in clauses(caption) if pattern.search(clause)]
    if not chosen:
        raise DataError(f"no clause of the caption '{short(caption)}' matches '{pattern.pattern}'")
    return without(caption, chosen)


def without(caption: str, chosen: list[str]) -> Texts:
    """Base text and target text where `chosen` are the clauses of the target; DataError when none is left."""
    left = [clause for clause in clauses(caption) if clause not in chosen]
    if not left:
        raise DataError(f"every clause of the caption '{short(caption)}' is chosen; the base text needs one")
    return Texts(", ".join(left), ", ".join(chosen))


def clauses(caption: str) -> list[str]:
    """What lies between the commas."""
    return [clause for part in caption.split(",") if (clause := " ".join(part.split()).rstrip("."))]


def tidy(text: str) -> str:
    """The text without the commas, spaces and loose joining words that a removed part leaves behind."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s*,(\s*,)+", ",", text)
    text = re.sub(r"\s+([,.;])", r"\1", text).strip(" ,;.")
    return re.sub(r"[\s,]+(and|with)$", "", text).strip(" ,;.")
