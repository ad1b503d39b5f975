"""Rows and captions of the tables metadata.jsonl and metadata.csv."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spf_core.config.sections import DatasetSection
from spf_core.data.files import refuse_link_outside
from spf_core.data.row import Caption, Reading, Row
from spf_core.data.tables import JSONL, NAMES, csv_values, no_rows, parse_json, row_of
from spf_core.data.unused import unused_files
from spf_core.errors import DataError

CSV = "metadata.csv"
_Values = Mapping[str, Any]


class Table:
    """Reads a table of the folder, of which a subclass knows the lines."""

    name: str

    def recognises(self, data: str) -> bool:
        """Whether the folder has the table."""
        return (Path(data) / self.name).is_file()

    def readings(self, data: str, options: DatasetSection) -> Iterator[Reading]:
        """What each line says."""
        folder, none = Path(data), True
        for number, read in self.lines(folder):
            none, place = False, f"{folder / self.name}:{number}"
            try:
                values = read()
            except DataError as error:
                yield Reading(place, partial(_refuse, error))
            else:
                yield _reading(place, folder, values, options)
        if none:
            raise no_rows(folder / self.name)

    def warnings(self, data: str, options: DatasetSection, read: Collection[Path]) -> Sequence[str]:
        """The files of the folder without a row."""
        folder = Path(data)
        return unused_files(folder, options, {*read, folder / self.name}, source=self.name)

    def captions(self, data: str, options: DatasetSection) -> Iterator[tuple[str, Callable[[], Caption]]]:
        """The captions in the column `text`."""
        names = {**NAMES, **options.columns}
        for number, read in self.lines(Path(data)):
            yield f"{self.name}:{number}", partial(_caption, read, names)

    def lines(self, folder: Path) -> Iterator[tuple[int, Callable[[], _Values]]]:
        """The number of each line, and how to read its values; that may raise DataError."""
        raise NotImplementedError


class JsonTable(Table):
    """A JSON object on each line."""

    name = JSONL

    def lines(self, folder: Path) -> Iterator[tuple[int, Callable[[], _Values]]]:
        """Those that are not blank."""
        refuse_link_outside(folder, folder / JSONL)
        # bytes.splitlines knows the line ends of files alone; str.splitlines would tear texts at U+2028.
        for number, line in enumerate((folder / JSONL).read_bytes().splitlines(), start=1):
            if line.strip():
                yield number, partial(parse_json, line)


class CsvTable(Table):
    """The same columns between commas, semicolons or tabs; empty cells are absent."""

    name = CSV

    def lines(self, folder: Path) -> Iterator[tuple[int, Callable[[], _Values]]]:
        """The rows below the header."""
        for number, values in csv_values(folder / CSV):
            yield number, partial(_cells, values)


def _cells(values: dict[str, str] | DataError) -> _Values:
    if isinstance(values, DataError):
        raise values
    return values


def _reading(place: str, folder: Path, values: _Values, options: DatasetSection) -> Reading:
    # A picture that a column of somebody else's names is accounted for, though spf does not read it.
    files = [folder / value.strip() for value in values.values() if isinstance(value, str)]
    return Reading(place, partial(row_of, folder, values, options), files, tuple(values))


def _caption(read: Callable[[], _Values], names: Mapping[str, str]) -> Caption:
    values = read()
    file_name, text = values.get(names["image"]), values.get(names["caption"])
    if "base_text" in values and "target_text" in values:
        raise DataError("has a base and a target text already; it needs no preparation")
    for name, value in ((names["image"], file_name), (names["caption"], text)):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"'{name}' must be a text; keys here: {', '.join(values) or 'none'}")
    kept = {key: value for key, value in values.items() if key not in (names["image"], names["caption"])}
    return Caption(str(file_name).strip(), str(text).strip(), kept)


def _refuse(error: DataError) -> Row:
    raise error
