"""Noun phrases of a caption, such as "wearing a red hat", found by a regular expression and some grammar."""

import math
import re

import regex

from spf_core.data.captions import Texts, readable, split_at_holes
from spf_core.data.cutting import (
    APOSTROPHE,
    BE,
    CLOSING,
    DETERMINERS,
    HOLE,
    LEADS,
    NOT,
    OPENING,
    PEOPLE,
    PLACED,
    PREPOSITIONS,
    QUOTES,
    SEPARATORS,
    STAND_INS,
    any_of,
)
from spf_core.errors import ConfigError, DataError, short

REACH = 200  # characters that a phrase may have before its noun
MOST_COPIES = (
    100_000  # of a part of an expression, since what repeats within a repetition is copied each time
)
PATIENCE = 1.0  # seconds for one clause; a sound expression needs less than a thousandth

_BORDERS = re.escape("".join(SEPARATORS).replace("-", "") + OPENING + CLOSING + QUOTES) + APOSTROPHE[1:-1]
_CLAUSE = re.compile(rf"(?! )(?:[^{_BORDERS}]|(?<=\w){APOSTROPHE}(?=\w))+(?<! )")
_WORD = re.compile(r"(?:(?:dressed|clad) )?\S+", re.IGNORECASE)
_AND = frozenset(("and", "or", "but", "&", "+"))
_LEADS = frozenset(f"{LEADS} {PREPOSITIONS}".split())
_DETERMINERS = frozenset(DETERMINERS.split())
_OTHERS = frozenset(f"{PEOPLE} {STAND_INS} {NOT} {BE} who that which he she they it -".split())
_REST, _SOMEBODY, _SECOND = (
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:(?:-|{APOSTROPHE})?\w)*(?:\s{PLACED})?",
        rf"\s{any_of(PEOPLE)}",
        rf"\s(?:and|or|&)\s(?={any_of(DETERMINERS)}\s(?!(?:[\w-]+\s){{0,2}}{any_of(PEOPLE)}))",
    )
)


def compile_phrase(pattern: str) -> "regex.Pattern[str]":
    """The regular expression, whatever the case; ConfigError when it is none."""
    counts = (int(count) for count in re.findall(r"(?<=[{,])[0-9]{1,9}(?=[,}])", pattern))
    if math.prod(max(1, count) for count in counts) > MOST_COPIES:
        raise ConfigError(
            f"--phrase {short(pattern)}: repeats more than {MOST_COPIES} times; write smaller {{}}"
        )
    try:
        return regex.compile(pattern, regex.IGNORECASE)
    except (regex.error, RecursionError, OverflowError, ValueError) as error:
        raise ConfigError(
            f"--phrase {short(pattern)}: is no regular expression ({error}); "
            "correct it, with a backslash before each sign that stands for itself"
        ) from None


def split_by_phrase(caption: str, pattern: "regex.Pattern[str]") -> Texts:
    """The noun phrases in which `pattern` is found are the target text, and what is left is the base text.

    The pattern sees one clause at a time, and what it finds begins with a word: "hat" is not in "that".
    DataError when it finds nothing, or nothing else is left; TimeoutError when it runs away.
    """
    caption = " ".join(readable(caption).split())
    spans = [
        _phrase(clause[0], found.start(), found.end(), clause.start())
        for clause in _CLAUSE.finditer(caption)
        for found in list(pattern.finditer(clause[0], timeout=PATIENCE))  # at once: the clock is running
        if found[0].strip() and not _within_a_word(clause[0], found.start())
    ]
    if not spans:
        raise DataError(
            f"no clause of the caption '{short(caption)}' matches '{short(pattern.pattern)}'; "
            "give --phrase an expression that does"
        )
    pieces, kept, at = list[str](), "", 0
    for begin, end in spans:
        begin = max(begin, at)
        if begin < end:
            kept += caption[at:begin] + HOLE
            pieces.append(
                re.sub(r"^(?:and|or|but|&|\+)\s|\s(?:and|or|&)\s$", "", caption[begin:end], flags=re.I)
            )
        at = max(at, end)
    return split_at_holes(caption, kept + caption[at:], ", ".join(dict.fromkeys(pieces)))


def _within_a_word(clause: str, start: int) -> bool:
    return start > 0 and clause[start].isalnum() and clause[start - 1].isalnum()


def _phrase(clause: str, start: int, end: int, offset: int) -> tuple[int, int]:
    """Where the noun phrase around clause[start:end] begins and ends in the caption.

    To the left it takes the noun's adjectives, its determiner, and the participle, preposition or "and"
    before them; it stops at a word for a person, a verb or a negation. To the right it takes "on her head".
    """
    start += len(clause[start:end]) - len(clause[start:end].lstrip())
    while start and (clause[start - 1].isalnum() or clause[start - 1] in "-_"):
        start -= 1
    rest = _REST.match(clause, end)
    end = rest.end() if rest else end
    if _SOMEBODY.match(clause, end):  # "a hat girl": it describes the girl
        return offset + start, offset + end
    begin, lead = _leftwards(clause, start)
    second = _SECOND.match(clause, end)
    if lead and lead not in _AND and second:  # "wearing a hat and a scarf": she still wears the scarf
        return offset + begin + len(lead) + 1, offset + second.end()
    return offset + begin, offset + end


def _leftwards(clause: str, start: int) -> tuple[int, str]:
    """Where the phrase begins whose noun is at `start`, and the participle or preposition that leads it."""
    begin, determined = start, False
    if clause[start:].split(maxsplit=1)[0].lower() in _LEADS:
        return start, ""
    for found in reversed(list(_WORD.finditer(clause, max(0, start - REACH), start))):
        word = found[0].lower()
        if word.split()[-1] in _LEADS or word in _AND or (determined and word.endswith("ing")):
            return found.start(), word
        if word in _OTHERS or determined:
            break
        begin, determined = found.start(), word in _DETERMINERS
    return begin, ""
