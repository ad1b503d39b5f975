"""Training folders and datasets, read and checked."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spf_core.data.captioned import is_captioned, read_captioned, unread_folders
from spf_core.data.hugging_face import is_dataset, is_hub_id, read_dataset
from spf_core.data.images import SUFFIXES, open_rgb
from spf_core.data.row import Row
from spf_core.data.tables import CSV, JSONL, REQUIRED, Reading, read_csv, read_jsonl
from spf_core.errors import DataError, short
from spf_core.sections import DatasetSection

AS_IT_IS = DatasetSection()


@dataclass(frozen=True)
class _Found:
    """A usable row, where it is written, and the width and height of its image."""

    row: Row
    place: str
    size: tuple[int, int]


@dataclass
class FolderReport:
    """What `check_folder` found: usable rows, image sizes (width, height), problems and warnings."""

    rows: list[Row] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def base_texts(self) -> Counter[str]:
        """How often each base text occurs."""
        return Counter(row.base_text for row in self.rows)

    @property
    def target_texts(self) -> Counter[str]:
        """How often each target text occurs."""
        return Counter(row.target_text for row in self.rows)


def read_folder(data: Path | str, options: DatasetSection = AS_IT_IS) -> list[Row]:
    """Read a training folder or dataset, decoding every image once; DataError names the first problem."""
    rows = []
    for finding in _scan(str(data), options):
        if isinstance(finding, str):
            raise DataError(f"{finding}; `spf data check {data}` lists all problems")
        rows.append(finding.row)
    return rows


def check_folder(data: Path | str, options: DatasetSection = AS_IT_IS) -> FolderReport:
    """Read a training folder or dataset and collect every problem instead of stopping at the first."""
    report = FolderReport()
    for finding in _scan(str(data), options):
        if isinstance(finding, str):
            report.problems.append(finding)
        else:
            report.rows.append(finding.row)
            report.sizes[finding.size] += 1
            report.warnings += [f"{finding.place}: {warning}" for warning in finding.row.warnings]
    report.warnings += _repeated(report.rows)
    if Path(data).is_dir():
        report.warnings += [*_unlisted(Path(data), report), *_unread(Path(data))]
    return report


def readable_rows(data: Path | str, options: DatasetSection = AS_IT_IS) -> list[Row]:
    """The rows whose texts can be read, whatever became of their images; none when the data is gone."""
    rows = []
    try:
        for _, read in _readings(str(data), options):
            try:
                rows.append(read())
            except DataError:
                continue
    except DataError:
        return rows
    return rows


def _scan(data: str, options: DatasetSection) -> Iterator[_Found | str]:
    """Yield each row with its place and image size, or the problem that keeps it from being one."""
    count = 0
    try:
        for place, read in _readings(data, options):
            count += 1
            try:
                row = read()
                yield _Found(row, place, _check_pictures(row))
            except DataError as error:
                yield f"{place}: {error}"
    except DataError as error:
        yield str(error)
        return
    if not count:
        yield f"{_content(Path(data))} has no rows; write one JSON object a line with {', '.join(REQUIRED)}"


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
        "images with .txt captions, nor a dataset of the datasets library"
    )


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
    if not any(path.iterdir()):
        return f"data folder '{path}' is empty; put images and {JSONL} in it"
    return None


def _check_pictures(row: Row) -> tuple[int, int]:
    """Decode the row's files fully and return the image's width and height."""
    size = open_rgb(row.image).size
    if row.mask is not None and open_rgb(row.mask).size != size:
        raise DataError(f"mask '{row.mask}' and image '{row.image}' differ in size")
    return size


def _repeated(rows: list[Row]) -> list[str]:
    counts = Counter(row.image for row in rows)
    return [f"'{image}' is listed {count} times" for image, count in counts.items() if count > 1]


def _unlisted(path: Path, report: FolderReport) -> list[str]:
    """One warning for images beside the rows' images that no row names; silent while rows are broken."""
    if report.problems:
        return []
    named = {picture for row in report.rows for picture in (row.image, row.mask)}
    folders = {row.image.parent for row in report.rows if row.image.is_relative_to(path)}
    files = {file for folder in folders for file in folder.iterdir() if file.suffix.lower() in SUFFIXES}
    left = sorted(file.relative_to(path).as_posix() for file in files - named)
    if not left:
        return []
    place = _content(path).name
    return [f"{len(left)} image(s) without a row in {place} are not used: {short(', '.join(left))}"]


def _unread(path: Path) -> list[str]:
    """One warning for sub-folders that a folder of captions leaves out."""
    if _content(path) != path or not (left := unread_folders(path)):
        return []
    return [f"sub-folders whose name does not begin with NUMBER_ are not used: {short(', '.join(left))}"]
