"""Rows as columns, and numbers as short as they are meant: what makes records small. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

DIGITS = 5  # significant ones


def pack(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of one shape as columns, nested as the rows are; KeyError when a row lacks what the first has."""
    first = rows[0] if rows else {}
    return {key: _column([row[key] for row in rows]) for key in first}


def unpack(columns: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The `count` rows of columns; IndexError when a column is shorter."""
    return [_row(columns, place) for place in range(count)]


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """The same value with every float in it at so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {key: rounded(each, digits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each, digits) for each in value]
    return value


def _column(values: list[Any]) -> Any:
    return pack(values) if isinstance(values[0], Mapping) else values


def _row(columns: Mapping[str, Any], place: int) -> dict[str, Any]:
    return {
        key: _row(column, place) if isinstance(column, Mapping) else column[place]
        for key, column in columns.items()
    }
