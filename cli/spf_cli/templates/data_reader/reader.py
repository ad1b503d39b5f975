"""The layout: how it is recognised, and how its rows are read."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from spf_core.data import Reading, Row, row_of
from spf_core.errors import DataError

if TYPE_CHECKING:
    from spf_core.data import DatasetSection


class NewThingReader:
    """Reads rows such as {"file_name": "0.png", "text": "a man, wearing a hat"}."""

    def __init__(self, table: str) -> None:
        self.table = table

    def recognises(self, data: str) -> bool:
        """Whether the folder has the JSON file; look at names only, as spf asks every reader."""
        return (Path(data) / self.table).is_file()

    def readings(self, data: str, options: "DatasetSection") -> Iterator[Reading]:
        """Every row in order; what is wrong with a row is raised when that row is read."""
        table = Path(data) / self.table
        for number, values in enumerate(_listed(table)):
            yield Reading(f"{table}, entry {number}", partial(_row, table.parent, values, options), [table])


def _listed(table: Path) -> Sequence[Any]:
    try:
        listed = json.loads(table.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{table}' is no JSON file ({error}); export it again") from None
    if not isinstance(listed, list):
        raise DataError(f"'{table}' holds no list; write one object for each image")
    return listed


def _row(folder: Path, values: Any, options: "DatasetSection") -> Row:
    """Return the row; row_of splits its text by the trigger, and finds the image in the folder."""
    if not isinstance(values, dict):
        raise DataError("is no object; write one with file_name and text")
    return row_of(folder, values, options)


def write_rows(table: Path, texts: Sequence[str]) -> str:
    """Write the JSON file with an image of noise for each text, and return the folder."""
    listed = []
    for number, text in enumerate(texts):
        Image.effect_noise((64, 64), 50).convert("RGB").save(table.parent / f"{number}.png")
        listed.append({"file_name": f"{number}.png", "text": text})
    table.write_text(json.dumps(listed), encoding="utf-8")
    return str(table.parent)
