"""Whether a base text still says who or what the picture shows."""

import re

from spf_core.data.cutting import BE, DETERMINERS, LEADS, PEOPLE, PREPOSITIONS, SEPARATORS, STAND_INS, any_of

_PERSON, _STAND_IN = (re.compile(any_of(listed), re.IGNORECASE) for listed in (PEOPLE, STAND_INS))
_PICTURE = "photo photograph picture image painting drawing illustration sketch render shot close up closeup"
_EMPTY = frozenset(f"{_PICTURE} {DETERMINERS} {BE} {LEADS} {PREPOSITIONS} and or".split())
_FIRST_CLAUSE = re.compile(rf"[^{re.escape(''.join(SEPARATORS).replace('-', ''))}]*")


def loses_subject(caption: str, base: str) -> bool:
    """Whether the caption has a subject and its base text has none left.

    The subject is a word for a person; without one a word such as "portrait"; without that too, whatever else
    the caption's first clause names.
    """
    for subjects in (_PERSON, _STAND_IN):
        if subjects.search(caption):
            return not subjects.search(base)
    return not _named(_first_clause(caption)) & _named(base)


def _first_clause(text: str) -> str:
    return next((clause for clause in _FIRST_CLAUSE.findall(text) if _named(clause)), "")


def _named(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if word not in _EMPTY}
