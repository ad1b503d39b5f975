"""The only reader of JSON that others may have written: plain values within limits. Torch-free.

There are no keys that stand twice, of which one would be dropped, and no text that no file can hold.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spf_core.errors import quoted, short
from spf_core.utils.special_files import refuse_special

DEPTH = 100  # levels of nesting; what spf writes has seven
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


class NotJsonError(ValueError):
    """What is wrong with a JSON text, in a line."""


def read_json(file: Path) -> Any:
    """The value in a file; NotJsonError says what is wrong with it, OSError that it cannot be read."""
    return parse_json(_content(file))


def read_json_lines(file: Path) -> list[Any]:
    """The value of each line of a file, of which empty ones are passed over; errors as of `read_json`."""
    found = []
    for number, line in enumerate(_content(file).split(b"\n"), start=1):  # U+2028 in a text ends no line
        if line.strip():
            try:
                found.append(parse_json(line))
            except NotJsonError as error:
                raise NotJsonError(f"line {number}: {error}") from None
    return found


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The value of a JSON text; NotJsonError says what is wrong with it.

    NaN and infinity, which JSON does not have and Python writes, are refused unless not `finite`.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        number = _finite if finite else float
        value = json.loads(text, object_pairs_hook=_mapping, parse_constant=number, parse_float=number)
        _check(value, DEPTH)
    except UnicodeDecodeError as error:
        raise NotJsonError(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise NotJsonError(f"it is not JSON ({error.msg} at {place})") from None
    except RecursionError:
        raise NotJsonError(f"it is nested more than {DEPTH} levels deep") from None
    except NotJsonError:
        raise
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise NotJsonError("it holds a number of too many digits") from None
    return value


def _content(file: Path) -> bytes:
    refuse_special(file)
    return file.read_bytes()


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise NotJsonError(f"the key '{short(twice)}' occurs twice in one place")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotJsonError(f"it holds {short(text, 40)} in the place of a number")
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if found := _UNWRITABLE.search(value):
            what = "a NUL character" if found[0] == "\x00" else "half of a character"
            raise NotJsonError(f"the text {quoted(value)} holds {what}")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise NotJsonError(f"it is nested more than {DEPTH} levels deep")
        for each in _inside(value):
            _check(each, depth - 1)


def _inside(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    else:
        yield from value
