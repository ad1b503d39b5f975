"""Training folders and datasets, read and checked."""

import logging
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data.files import first_names, real_path, visible
from spf_core.data.images import open_rgb
from spf_core.data.row import Row
from spf_core.data.source import Source, asked, asked_others, source_of
from spf_core.data.tables import JSONL, unread_columns
from spf_core.data.unused import unused_files
from spf_core.errors import DataError, SpfError
from spf_core.plugins.configs import DataReaderConfig
from spf_core.plugins.readers import installed_readers, reader_for

AS_IT_IS = DatasetSection()
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


def read_folder(
    data: Path | str, options: DatasetSection = AS_IT_IS, reader: DataReaderConfig | None = None
) -> list[Row]:
    """Read a training folder or dataset, decoding every image once; DataError names the first problem.

    Without a `reader`, the first of the installed ones that recognises `data` reads it. What a user should
    look at is logged as warnings, each kind in a line.
    """
    report = FolderReport()
    for problem in _scan(str(data), options, reader, report):
        if (of_folder := _folder_problem(Path(data))) and problem.startswith(of_folder):
            raise DataError(problem)  # the only one, with a way out of its own
        trigger = [] if options.trigger is None else ["--trigger", options.trigger]
        chosen = [] if reader is None else ["--set", f"reader={reader.name}"]
        check = shlex.join(["spf", "data", "check", str(data), *trigger, *chosen])
        raise DataError(f"{problem}; `{check}` lists all problems")
    for warning in (*_by_kind(report.row_warnings, Path(data)), *report.warnings):
        _log.warning(warning)
    return report.rows


def check_folder(
    data: Path | str, options: DatasetSection = AS_IT_IS, reader: DataReaderConfig | None = None
) -> FolderReport:
    """Read a training folder or dataset and collect every problem and warning, each with its row.

    `reader` as for `read_folder`.
    """
    report = FolderReport()
    report.problems = list(_scan(str(data), options, reader, report))
    report.warnings = [*(f"{place}: {warning}" for place, warning in report.row_warnings), *report.warnings]
    return report


def holds_data(folder: Path) -> bool:
    """Whether a reader recognises the folder as training data; what its files hold is not read."""
    return folder.is_dir() and reader_for(str(folder), installed_readers()) is not None


def readable_rows(
    data: Path | str, options: DatasetSection = AS_IT_IS, reader: DataReaderConfig | None = None
) -> list[Row]:
    """The rows whose texts can be read, whatever became of their images; none when the data is gone.

    There are none either where the reader is not to be had here any more, which is logged as a warning.
    """
    rows = []
    try:
        source = source_of(str(data), reader)
        for reading in source.readings(options) if source else ():
            try:
                rows.append(reading.read())
            except DataError:
                continue
    except DataError:
        return rows
    except SpfError as error:
        _log.warning("%s", error)
    return rows


def _scan(
    data: str, options: DatasetSection, reader: DataReaderConfig | None, report: FolderReport
) -> Iterator[str]:
    """Fill in the report but for its problems, and yield these: each keeps a row from being one."""
    read, keys = set[Path](), set[str]()
    source, none = None, True
    try:
        source = source_of(data, reader)
        if source is None:
            raise DataError(_unreadable(data))
        for reading in source.readings(options):
            none = False
            read.update(reading.files)
            keys.update(reading.keys)
            try:
                row = reading.read()
                read.update(file for file in (row.image, row.mask) if file)
                report.row_sizes.append(_check_pictures(row))
                report.rows.append(row)
            except DataError as error:
                yield f"{reading.place}: {error}{source.by}"
            else:
                report.row_warnings += [(reading.place, warning) for warning in row.warnings]
        if none:
            yield f"'{data}' has no rows{source.by}"
    except DataError as error:
        yield str(error)
    report.warnings = [
        *_repeated(report.rows, Path(data)),
        *unread_columns(keys, options),
        *_advice(data, source, options, read),
    ]


def _advice(data: str, source: Source | None, options: DatasetSection, read: set[Path]) -> Sequence[str]:
    try:
        if source:
            return source.warnings(options, read)
        return unused_files(Path(data), options, read, source=None) if Path(data).is_dir() else []
    except DataError as error:
        # Of spf's own readers: the folder cannot be listed, which is a problem already.
        return [str(error)] if source and source.by else []


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


def _unreadable(data: str) -> str:
    """Why no reader recognises this, and what there could be."""
    folder = Path(data)
    if problem := _folder_problem(folder):
        return f"{problem}{asked_others()}"
    return f"'{folder}' has no {asked()}{_hint(folder)}"


def _hint(folder: Path) -> str:
    """The sub-folder that could be read instead, if there is one."""
    for each in visible(folder):
        if holds_data(each):
            return f"; its sub-folder '{each}' can be read"
    return ""


def _folder_problem(path: Path) -> str | None:
    if not path.exists():
        start = "" if path.is_absolute() else f"; a relative path starts in '{Path.cwd()}'"
        return f"data folder '{path}' does not exist{start}; give a folder of images"
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
