"""A user's own prompts: a text file with one on each line, JSON lines, or CSV. Torch-free."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spf_core.data.files import lines_of
from spf_core.data.tables import csv_values
from spf_core.errors import ConfigError, DataError, short
from spf_core.utils.json_text import read_json_lines
from spf_core.utils.prompts import text_fault
from spf_core.utils.special_files import refuse_special

COLUMN = "prompt"


def read_prompts(file: Path) -> tuple[str, ...]:
    """The prompts of a file, each once and in order.

    Of `.jsonl` and `.csv` files, those under `prompt`; of any other, the lines that are neither blank nor
    begin with `#`. ConfigError for a file that is missing or damaged, or that holds none.
    """
    place = f"prompt file '{short(str(file), 200)}'"
    try:
        refuse_special(file)
        found = [(row, text.strip()) for row, text in _texts(file) if text.strip()]
    except FileNotFoundError:
        raise ConfigError(f"{place} does not exist; give a file of prompts") from None
    except OSError as error:
        raise ConfigError(
            f"{place} cannot be read ({error.strerror or error}); make it readable, or give another"
        ) from None
    except (ValueError, DataError) as error:
        raise ConfigError(f"{place}: {error}") from None
    for row, text in found:
        if fault := text_fault(text):
            raise ConfigError(f"{place}, {row}: the text {fault}")
    if not found:
        raise ConfigError(f"{place} holds no prompts; write one on each line")
    return tuple(dict.fromkeys(text for _, text in found))


def _texts(file: Path) -> Iterator[tuple[str, str]]:
    """Texts with their places; DataError for a row without one."""
    if file.suffix.lower() == ".jsonl":
        for number, value in enumerate(read_json_lines(file), start=1):
            yield f"row {number}", _of(value.get(COLUMN) if isinstance(value, dict) else value, number)
    elif file.suffix.lower() == ".csv":
        for number, row in csv_values(file):
            if isinstance(row, DataError):
                raise DataError(f"line {number} {row}")
            yield f"line {number}", _of(row.get(COLUMN), number)
    else:
        for number, line in enumerate(lines_of(_decoded(file)), start=1):
            yield f"line {number}", "" if line.lstrip().startswith("#") else line


def _of(value: Any, number: int) -> str:
    if not isinstance(value, str):
        raise DataError(f"row {number} has no text '{COLUMN}'; write one, or leave the row out")
    return value


def _decoded(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
