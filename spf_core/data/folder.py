"""Training folders and datasets, read and checked."""

import logging
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data.captioned import is_captioned, read_captioned
from spf_core.data.files import first_names, real_path, visible
from spf_core.data.hugging_face import is_dataset, is_hub_id, read_dataset, stored_tables
from spf_core.data.images import open_rgb
from spf_core.data.row import Row
from spf_core.data.tables import CSV, JSONL, REQUIRED, Reading, read_csv, read_jsonl, unread_columns
from spf_core.data.unused import folder_captions, unused_files
from spf_core.errors import DataError

AS_IT_IS = DatasetSection()
DATASET = "the dataset"
_log = logging.getLogger("spf")


@dataclass
class FolderReport:
    """What a training folder holds: usable rows, the size of each row's image, problems and warnings.

    Sizes are width and height in pixels. `row_warnings` are those of single rows, each with its place.
    """

    rows: list[Row] = field(default_factory=list)
    row_sizes: list[tuple[int, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    row_warnings: list[tuple[str, str]] = field(default_factory=list)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How often each size of an image occurs."""
        return Counter(self.row_sizes)

    @property
    def base_texts(self) -> Counter[str]:
        """How often each base text occurs."""
        return Counter(row.base_text for row in self.rows)

    @property
    def target_texts(self) -> Counter[str]:
        """How often each target text occurs."""
        return Counter(row.target_text for row in self.rows)


def read_folder(data: Path | str, options: DatasetSection = AS_IT_IS) -> list[Row]:
    """Read a training folder or dataset, decoding every image once; DataError names the first problem.

    What a user should look at is logged as warnings, each kind in a line.
    """
    report = FolderReport()
    for problem in _scan(str(data), options, report):
        trigger = [] if options.trigger is None else ["--trigger", options.trigger]
        check = shlex.join(["spf", "data", "check", str(data), *trigger])
        raise DataError(f"{problem}; `{check}` lists all problems")
    for warning in (*_by_kind(report.row_warnings, Path(data)), *report.warnings):
        _log.warning(warning)
    return report.rows


def check_folder(data: Path | str, options: DatasetSection = AS_IT_IS) -> FolderReport:
    """Read a training folder or dataset and collect every problem and warning, each with its row."""
    report = FolderReport()
    report.problems = list(_scan(str(data), options, report))
    report.warnings = [*(f"{place}: {warning}" for place, warning in report.row_warnings), *report.warnings]
    return report


def holds_data(folder: Path) -> bool:
    """Whether the folder is laid out as training data; what its files hold is not read."""
    return folder.is_dir() and any(holds(folder) for holds, _ in _READERS)


def readable_rows(data: Path | str, options: DatasetSection = AS_IT_IS) -> list[Row]:
    """The rows whose texts can be read, whatever became of their images; none when the data is gone."""
    rows = []
    try:
        for reading in _readings(str(data), options):
            try:
                rows.append(reading.read())
            except DataError:
                continue
    except DataError:
        return rows
    return rows


def _scan(data: str, options: DatasetSection, report: FolderReport) -> Iterator[str]:
    """Fill in the report but for its problems, and yield these: each keeps a row from being one."""
    read, keys = set[Path](), set[str]()
    count = 0
    try:
        for reading in _readings(data, options):
            count += 1
            read.update(reading.files)
            keys.update(reading.keys)
            try:
                row = reading.read()
                read.update(file for file in (row.image, row.mask) if file)
                report.row_sizes.append(_check_pictures(row))
                report.rows.append(row)
            except DataError as error:
                yield f"{reading.place}: {error}"
            else:
                report.row_warnings += [(reading.place, warning) for warning in row.warnings]
        if not count:
            place = _content(Path(data))
            yield f"{place} has no rows; write one for each image, with {', '.join(REQUIRED)}"
    except DataError as error:
        yield str(error)
    report.warnings = [
        *_repeated(report.rows, Path(data)),
        *unread_columns(keys, options),
        *(_unused(Path(data), options, read) if Path(data).is_dir() else []),
    ]


def _unused(folder: Path, options: DatasetSection, read: set[Path]) -> list[str]:
    try:
        table = _content(folder)
        if table != folder:
            return unused_files(folder, options, {*read, table}, source=table.name)
        if is_dataset(folder):
            return unused_files(folder, options, {*read, *stored_tables(folder)}, source=DATASET)
        return [*folder_captions(folder, options), *unused_files(folder, options, read, source=None)]
    except DataError:  # the folder cannot be listed, which is a problem already
        return []


def _by_kind(warnings: list[tuple[str, str]], folder: Path) -> Iterator[str]:
    """Of each kind the first warning with its place, and the places of the others."""
    kinds = defaultdict[str, list[tuple[str, str]]](list)
    for each in warnings:
        kinds[_without_values(each[1])].append(each)
    for (place, warning), *others in kinds.values():
        more = f" (and {len(others)} more: {first_names((Path(place) for place, _ in others), folder)})"
        yield f"{place}: {warning}{more if others else ''}"


def _without_values(warning: str) -> str:
    """The kind of a warning: its words without what it quotes."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|[0-9]+", "", warning)


def _readings(data: str, options: DatasetSection) -> Iterator[Reading]:
    """The rows of whatever this is; DataError when it is nothing that can be read."""
    folder = Path(data)
    if is_hub_id(data):
        yield from read_dataset(data, options)
        return
    if problem := _folder_problem(folder):
        raise DataError(problem)
    for holds, reader in _READERS:
        if holds(folder):
            yield from reader(folder, options)
            return
    raise DataError(
        f"'{folder}' has no {JSONL}: one JSON object a line with {', '.join(REQUIRED)}; nor {CSV}, nor "
        f"images with .txt captions, nor a dataset of the datasets library{_hint(folder)}"
    )


def _hint(folder: Path) -> str:
    """The sub-folder that could be read instead, if there is one."""
    for each in visible(folder):
        if holds_data(each):
            return f"; its sub-folder '{each}' can be read"
    return ""


_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, DatasetSection], Iterator[Reading]]], ...] = (
    (lambda folder: (folder / JSONL).is_file(), read_jsonl),
    (lambda folder: (folder / CSV).is_file(), read_csv),
    (is_dataset, lambda folder, options: read_dataset(str(folder), options)),
    (is_captioned, read_captioned),
)


def _content(folder: Path) -> Path:
    return next((file for name in (JSONL, CSV) if (file := folder / name).is_file()), folder)


def _folder_problem(path: Path) -> str | None:
    if not path.exists():
        return f"data folder '{path}' does not exist"
    if not path.is_dir():
        return f"'{path}' is not a folder; give the folder that holds {JSONL} and the images"
    if not visible(path):
        return f"data folder '{path}' is empty; put images and {JSONL} in it"
    return None


def _check_pictures(row: Row) -> tuple[int, int]:
    """Decode the row's files fully and return the image's width and height."""
    size = open_rgb(row.image).size
    if row.mask is not None and open_rgb(row.mask).size != size:
        raise DataError(
            f"mask '{row.mask}' and image '{row.image}' differ in size; give both the same width and height"
        )
    return size


def _repeated(rows: list[Row], folder: Path) -> list[str]:
    counts = Counter(real_path(row.image) for row in rows)
    several = {row.image for row in rows if counts[real_path(row.image)] > 1}
    return [f"pictures with several rows ({len(several)}): {first_names(several, folder)}"] if several else []
