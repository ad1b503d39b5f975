"""What training data was, row by row, so that a run that goes on can tell whether it still is."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from spf_core.data.row import Row
from spf_core.errors import DataError, short

DIGITS = 16  # of each hash, which are enough to notice a change
NO_MASK = "-"
_Content = tuple[str, str, str]


class _Recorded(NamedTuple):
    """A row as it was read: hashes of its image's bytes, its mask's and its texts, and a name for people."""

    image: str
    mask: str
    texts: str
    name: str

    @classmethod
    def of(cls, line: str) -> "_Recorded":
        return cls(*line.split(" ", 3))

    @property
    def content(self) -> _Content:
        """What training reads: a row may lie elsewhere and have another name."""
        return self[:3]


def record_of(rows: Sequence[Row], data: str) -> tuple[str, ...]:
    """One line for each row: hashes of its image, its mask and its texts, and its name below `data`.

    DataError when a file has gone since it was read.
    """

    @cache
    def digest(file: Path) -> str:
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()[:DIGITS]
        except OSError as error:
            raise DataError(f"'{file}' can no longer be read ({error.strerror}); put it back") from None

    return tuple(
        " ".join(
            (
                digest(row.image),
                NO_MASK if row.mask is None else digest(row.mask),
                _texts(row),
                _name(row.image, Path(data)),
            )
        )
        for row in rows
    )


def changes(before: Sequence[str], now: Sequence[str]) -> str | None:
    """What differs between two records, in words; None where the rows are the same in the same order."""
    old, new = [[_Recorded.of(line) for line in lines] for lines in (before, now)]
    if [row.content for row in old] == [row.content for row in new]:
        return None
    gone, come = _beyond(old, new), _beyond(new, old)
    found = []
    for what, place in (("image", 0), ("mask", 1), ("texts", 2)):
        named = {row.name: row for row in gone}
        changed = [row.name for row in come if row.name in named and row[place] != named[row.name][place]]
        if changed:
            found.append(f"the {what} of {_count(changed)} changed")
    names = {row.name for row in gone} & {row.name for row in come}
    if lost := [row.name for row in gone if row.name not in names]:
        found.append(f"{_count(lost)} gone")
    if added := [row.name for row in come if row.name not in names]:
        found.append(f"{_count(added)} new")
    if not found or _shared(old, new) != _shared(new, old):
        found.append("the rows are in another order")
    return ", ".join(found)


def _texts(row: Row) -> str:
    said = [row.base_text, row.target_text, row.base_phrases, row.replaces, row.repeats]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:DIGITS]


def _name(image: Path, data: Path) -> str:
    name = image.relative_to(data).as_posix() if image.is_relative_to(data) else image.name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _beyond(rows: Sequence[_Recorded], others: Sequence[_Recorded]) -> list[_Recorded]:
    """The rows that the others have not, neither under their names nor under other ones."""
    rest, their_rest = _split(rows, others, _itself)[1], _split(others, rows, _itself)[1]
    return _split(rest, their_rest, _content)[1]


def _shared(rows: Sequence[_Recorded], others: Sequence[_Recorded]) -> list[_Content]:
    """What both have, in the order of the first."""
    return [row.content for row in _split(rows, others, _content)[0]]


def _split(
    rows: Sequence[_Recorded], others: Sequence[_Recorded], what: Callable[[_Recorded], Hashable]
) -> tuple[list[_Recorded], list[_Recorded]]:
    """The rows that the others have as well, as far as `what` says of them, and the rest."""
    left = Counter(map(what, others))
    found: tuple[list[_Recorded], list[_Recorded]] = ([], [])
    for row in rows:
        found[not left[what(row)]].append(row)
        left[what(row)] -= bool(left[what(row)])
    return found


def _itself(row: _Recorded) -> Hashable:
    return row


def _content(row: _Recorded) -> Hashable:
    return row.content


def _count(names: Sequence[str]) -> str:
    first = f"'{short(names[0], 60)}'"
    return f"1 row ({first})" if len(names) == 1 else f"{len(names)} rows (first: {first})"
