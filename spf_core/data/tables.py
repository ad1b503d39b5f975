"""Rows from anything with named values, and what every row must be. CSV tables and lines of JSON."""

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from spf_core.config.sections import DatasetSection
from spf_core.data.captions import Texts, split_by_trigger
from spf_core.data.files import lines_of, read_text, refuse_link_outside
from spf_core.data.row import Row, View
from spf_core.errors import DataError, quoted, short
from spf_core.utils.prompts import text_fault

JSONL = "metadata.jsonl"
REQUIRED = ("file_name", "base_text", "target_text")
NAMES = {"image": "file_name", "caption": "text"}

_OPTIONAL = ("base_phrases", "replaces", "mask", "repeats")
_ALIKE = re.compile("mask|repeat|replace|phrase", re.IGNORECASE)
MOST_REPEATS = 1000  # more would be a year or a mistake, and only weighs rows against each other


def csv_values(file: Path) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Number of the last line, and the cells that are not empty, of each row; or what is wrong with the row.

    DataError if it is no table. Commas, semicolons or tabs stand between its columns.
    """
    try:
        text = read_text(file.parent, file)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None
    header = next(filter(str.strip, lines_of(text)), "")
    columns, line = list[str](), 0
    try:
        delimiter = max(",;\t", key=lambda mark: len(next(csv.reader([header], delimiter=mark))))
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for cells in lines:
            cells, line = [cell.strip() for cell in cells], lines.line_num
            if not columns:
                columns = cells if any(cells) else []
                if twice := _twice(filter(None, columns)):
                    raise DataError(f"{file}:{line}: the column '{short(twice)}' occurs twice; rename one")
            elif any(cells[len(columns) :]):
                yield line, DataError(f"has more cells than columns; quote what holds '{delimiter}'")
            elif any(cells):
                yield line, {key: cell for key, cell in zip(columns, cells, strict=False) if key and cell}
    except csv.Error as error:
        raise DataError(f"{file}:{line + 1}: is no CSV ({error})") from None


def unread_columns(keys: Iterable[str], options: DatasetSection) -> list[str]:
    """A warning for columns that are not read although they are called much like one that is."""
    columns = {name: name for name in (*REQUIRED, *_OPTIONAL, *NAMES)}
    known = {**columns, **NAMES, **options.columns}.values()
    unread = sorted(key for key in {*keys} - {*known} if _ALIKE.search(key))
    if not unread:
        return []
    return [f"columns that are not read: {', '.join(map(short, unread))}; spf reads {', '.join(_OPTIONAL)}"]


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def row_of(folder: Path, values: Mapping[str, Any], options: DatasetSection) -> Row:
    """The row that these named values make; DataError says which value cannot be used.

    The names are those of the columns of a table: `file_name`, `base_text`, `target_text` and so on, or
    others that `options.columns` chooses. A `text` is split by `options.trigger`. The image and the mask
    are files of the folder. Unknown names are left alone.
    """
    names = {**NAMES, **options.columns}
    image = _text(values, names["image"])
    texts = texts_of(values, names, options.trigger)
    mask_name = names.get("mask", "mask")
    mask = None if values.get(mask_name) is None else _text(values, mask_name)
    return checked_row(
        values,
        texts,
        image=inside(folder, names["image"], image),
        mask=None if mask is None else inside(folder, mask_name, mask),
    )


def checked_row(values: Mapping[str, Any], texts: Texts, *, image: Path, mask: Path | None = None) -> Row:
    """The row of an image and its texts, with what else the values say of it."""
    base, target, warnings = texts
    _check_texts(base, target)
    replaces = None if values.get("replaces") is None else _text(values, "replaces")
    _check_replaces(replaces, base)
    return Row(
        image, base, target, _phrases(values, base), mask, replaces, _repeats(values), warnings=warnings
    )


def check_row(row: Row) -> None:
    """DataError for a row of a reader of others that spf would not have made; its files are not opened."""
    for key in ("image", "base_text", "target_text", "mask", "replaces"):
        value = getattr(row, key)
        kind = Path if key in ("image", "mask") else str
        if not isinstance(value, kind) and not (value is None and key in ("mask", "replaces")):
            raise DataError(f"'{key}' of the row is {quoted(value)}; give it a {kind.__name__}")
    for key, text in (("base_text", row.base_text), ("target_text", row.target_text)):
        if text != text.strip() or not text:
            raise DataError(f"'{key}' {'is empty' if not text.strip() else 'begins or ends with a blank'}")
    _check_texts(row.base_text, row.target_text)
    _check_replaces(row.replaces, row.base_text)
    for key in ("base_phrases", "warnings"):
        if not isinstance(value := getattr(row, key), tuple) or not all(
            isinstance(each, str) for each in value
        ):
            raise DataError(f"'{key}' of the row is {quoted(value)}; give it a tuple of texts")
    _check_phrases(row.base_phrases, row.base_text)
    _repeats({"repeats": row.repeats if type(row.repeats) is int else quoted(row.repeats)})
    if row.view != View():
        raise DataError("'view' of the row is set; leave it out: settings of dataset choose crops and flips")


def no_rows(place: Path | str) -> DataError:
    """The error for a table without rows."""
    return DataError(f"{place} has no rows; write one for each image, with {', '.join(REQUIRED)}")


def _check_texts(base: str, target: str) -> None:
    for key, text in (("base_text", base), ("target_text", target)):
        if fault := text_fault(text):
            raise DataError(f"'{key}' {fault}: {short(text)}")
    if base == target:
        raise DataError(f"target_text equals base_text ('{short(base)}'); name only what the target adds")


def _check_replaces(replaces: str | None, base: str) -> None:
    if replaces is not None and replaces not in base:
        raise DataError(
            f"'replaces' {json.dumps(replaces)} does not occur in base_text '{short(base)}'; "
            "write words of it"
        )


def texts_of(values: Mapping[str, Any], names: Mapping[str, str], trigger: str | None) -> Texts:
    """Base and target text: two values, or a caption that the trigger takes apart."""
    columns = [names.get(name, name) for name in ("base_text", "target_text")]
    caption = names["caption"]
    if trigger and caption in values and not set(columns) & set(values):
        return split_by_trigger(_text(values, caption), trigger)
    if caption in values and columns[0] not in values:
        raise DataError(
            f"'{columns[0]}' is missing; to split '{caption}', give a trigger, or use `spf data prepare`"
        )
    base, target = (_text(values, column) for column in columns)
    return Texts(base, target)


def parse_json(line: bytes) -> Mapping[str, Any]:
    """One line of JSON Lines, an object."""
    try:
        values = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise DataError("is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"{error.msg} at column {error.colno}"
        raise DataError(f"is not JSON ({place}): {short(line.decode())}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(
            f"is JSON that cannot be read ({error}): {short(line.decode())}; "
            "write shorter numbers and fewer brackets"
        ) from None
    if not isinstance(values, dict):
        raise DataError(
            f"is no JSON object: {short(json.dumps(values))}; write its keys and values in braces"
        )
    return values


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if twice := _twice(key for key, _ in pairs):
        raise DataError(f"'{short(twice)}' occurs twice; keep one")
    return dict(pairs)


def inside(folder: Path, key: str, name: str) -> Path:
    """A file of the folder, as `_as_stored` finds it; DataError for a name or a link that leads out of it."""
    if "\0" in name:
        raise DataError(f"'{key}' {short(name)} holds a NUL character; write the file's name without it")
    for flavour in (PurePosixPath(name), PureWindowsPath(name)):
        if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
            raise DataError(f"'{key}' {name} leads out of the folder; use a path relative to it")
    file = _as_stored(folder, name)
    refuse_link_outside(folder, file)
    return file


def _as_stored(folder: Path, name: str) -> Path:
    r"""The file of that name, or of one that differs in how another system writes it, where only that exists.

    That may be Windows with `\` for `/` and suffixes of any case, or a Mac, which stores accents otherwise.
    """
    slashes = name.replace("\\", "/")
    forms = (name, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD")))
    files = [folder / form for form in forms]
    named = [file for file in files if file.suffix]
    files += [file.with_suffix(end) for file in named for end in (file.suffix.lower(), file.suffix.upper())]
    return next((file for file in files if os.path.lexists(file)), folder / name)


def _text(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        raise DataError(f"'{key}' is missing; keys here: {', '.join(values) or 'none'}")
    value = values[key]
    if not isinstance(value, str):
        raise DataError(f"'{key}' is {short(json.dumps(value, default=str))}; write a text")
    if not value.strip():
        raise DataError(f"'{key}' is empty")
    return value.strip()


def _phrases(values: Mapping[str, Any], base: str) -> tuple[str, ...]:
    phrases = values.get("base_phrases") or []
    if isinstance(phrases, str) and ";" in phrases:  # a cell holds no list
        phrases = [phrase.strip() for phrase in phrases.split(";")]
    if not isinstance(phrases, list):
        raise DataError(f"'base_phrases' is {short(json.dumps(phrases))}; write a list of texts")
    _check_phrases(phrases, base)
    return tuple(phrases)


def _check_phrases(phrases: Sequence[Any], base: str) -> None:
    for phrase in phrases:
        if not isinstance(phrase, str) or not phrase.strip() or phrase not in base:
            phrase_text = short(json.dumps(phrase))
            raise DataError(
                f"base phrase {phrase_text} does not occur in base_text '{short(base)}'; write words of it"
            )


def _repeats(values: Mapping[str, Any]) -> int:
    value = values.get("repeats")
    if value is None:
        return 1
    text = str(value).strip()
    whole = not isinstance(value, bool) and re.fullmatch("0*[1-9][0-9]{0,8}", text)
    if not whole or int(text) > MOST_REPEATS:
        raise DataError(
            f"'repeats' is {short(json.dumps(value))}; write a whole number from 1 to {MOST_REPEATS}"
        )
    return int(text)
