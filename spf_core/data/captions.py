"""Captions that say base and target in one, taken apart."""

import re
import unicodedata
from typing import NamedTuple

from spf_core.data.cutting import APOSTROPHE, HOLE, MOST_PASSES, tidy, without_holes
from spf_core.errors import DataError, short
from spf_core.utils.prompts import text_fault

MOST_CHARACTERS = 10_000  # text encoders read a tenth; the rules take minutes over a book


class Texts(NamedTuple):
    """The base and the target text of a row, and what a user should look at in them."""

    base: str
    target: str
    warnings: tuple[str, ...] = ()


def split_by_trigger(caption: str, trigger: str) -> Texts:
    """Base text (the caption without the trigger and what belonged to it) and target text (the trigger).

    Upper and lower case are the same, and only whole words count. DataError when the trigger is not in the
    caption, when the caption denies it, or when it says no more than the trigger.
    """
    words = "|".join(dict.fromkeys(_pattern(unicodedata.normalize(form, trigger)) for form in ("NFC", "NFD")))
    before, after = rf"(?<!\w)(?<!\w-)(?<!\w{APOSTROPHE})", rf"(?!\w)(?!-\w)(?!{APOSTROPHE}\w)"
    pattern = re.compile(f"{before}(?:{words}){after}", re.IGNORECASE)
    if not trigger.strip() or not pattern.search(readable(caption)):
        raise DataError(
            f"the caption '{short(caption)}' does not contain the trigger '{short(trigger)}'; write the "
            "trigger into it, or give spf data prepare a --trigger for each wording"
        )
    base, warnings = caption, tuple[str, ...]()
    for _ in range(MOST_PASSES):  # what stood around the trigger may make another one
        base, target, found = split_at_holes(base, pattern.sub(HOLE, base), " ".join(trigger.split()))
        warnings += found
        if not pattern.search(base):
            return Texts(base, target, warnings)
    raise DataError(f"the caption '{short(caption)}' repeats words of the trigger too often; correct it")


def _pattern(words: str) -> str:
    """A pattern for the words, with blanks or underscores between them and apostrophes of either kind."""
    between = r"[\s_]+".join(map(re.escape, words.split()))
    return re.sub(APOSTROPHE, APOSTROPHE, between)


def split_at_holes(caption: str, with_holes: str, target: str) -> Texts:
    """The texts of a caption in which holes stand for the target; DataError as of `split_by_trigger`."""
    base, hanging = without_holes(with_holes, target)
    if not re.search(r"[^\W_]", re.sub(r"<[^<>]*>", "", base)):
        raise DataError(
            f"the caption '{short(caption)}' says no more than the target; describe the portrait in it"
        )
    pieces = " and ".join(f"'{piece}'" for piece in hanging)
    warning = f"the base text '{short(base)}' keeps {pieces}, which belonged to '{short(target)}'; correct it"
    return Texts(base, target, (warning,) if hanging else ())


def without(caption: str, chosen: list[str]) -> Texts:
    """Base text and target text where `chosen` are the clauses of the target; DataError when none is left."""
    left = [clause for clause in clauses(caption) if clause not in chosen]
    if not left:
        raise DataError(
            f"every clause of the caption '{short(caption)}' is chosen, and the base text needs one; "
            "choose fewer"
        )
    return Texts(", ".join(left), ", ".join(chosen))


def clauses(caption: str) -> list[str]:
    """What lies between the commas."""
    return [clause for part in readable(caption).split(",") if (clause := tidy(part))]


def readable(text: str) -> str:
    """The text; DataError when no tokenizer takes it, or when it is too long for a caption."""
    if fault := text_fault(text):
        raise DataError(f"the text '{short(text)}' {fault}")
    if len(text) > MOST_CHARACTERS:
        raise DataError(
            f"the caption '{short(text)}' has {len(text)} characters; shorten it to {MOST_CHARACTERS}"
        )
    return text
