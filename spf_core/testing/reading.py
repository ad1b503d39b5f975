"""Checks of data readers, on the sample that each writes."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from spf_core.config.sections import DatasetSection
from spf_core.data import METADATA, Caption, Reading, Row, check_folder
from spf_core.data.source import Source
from spf_core.errors import DataError, Unavailable, quoted
from spf_core.interfaces import DataReader, HasCaptions
from spf_core.plugins.configs import DataReaderConfig
from spf_core.plugins.containment import reason_of
from spf_core.plugins.readers import readers_of
from spf_core.testing.states import tiny_data
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject

OPTIONS = DatasetSection(trigger="wearing a hat")
_SAMPLE, _LEAST = "sample", 2
_MOST_FILES = 6  # that are damaged; the others of a sample are alike
_NO_TEXT = bytes([0xFF, 0xFE, 0x00, 0x22]) * 16


def sample_of(subject: Subject) -> str:
    """What the reader writes as its sample, once, as `--data` names it."""
    assert isinstance(subject.config, DataReaderConfig), "of that kind"
    folder = subject.folder / _SAMPLE
    marker = subject.folder / "sample.txt"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)  # of a sample that failed in another check
        folder.mkdir()
        data = subject.config.sample(folder)
        if not isinstance(data, str) or not Path(data).is_relative_to(folder) or not Path(data).exists():
            raise Failure(
                f"sample() returns {quoted(data)}; return the folder that it gets, or a file's path in it"
            )
        marker.write_text(data, encoding="utf-8")
    return marker.read_text(encoding="utf-8")


def recognises_its_own(subject: Subject) -> None:
    """It says yes to its sample, and no to an empty folder, to mere pictures and to layouts of spf."""
    reader: DataReader = subject.build()
    data = sample_of(subject)
    if reader.recognises(data) is not True:
        raise Failure(f"recognises() says {quoted(reader.recognises(data))} to its own sample; return True")
    for what, other in _others(subject):
        if (found := reader.recognises(other)) is not False:
            raise Failure(
                f"recognises() says {quoted(found)} to {what}; return False where that is missing which only "
                "this layout has, such as a file of a certain name"
            )


def _others(subject: Subject) -> Iterator[tuple[str, str]]:
    """Sources that are none of the reader's, each with what it is."""
    place = subject.folder / "others"
    shutil.rmtree(place, ignore_errors=True)
    (empty := place / "empty").mkdir(parents=True)
    yield "an empty folder", str(empty)
    yield "a path that is not there", str(place / "gone")
    bare = tiny_data(place / "pictures")
    (bare / METADATA).unlink()
    yield "a folder of pictures without texts", str(bare)
    yield "a picture", str(bare / "0.png")
    for reader in readers_of(subject.plugins):
        if reader.provided_by or reader.name == subject.config.name:
            continue
        (folder := place / reader.name).mkdir()
        try:
            yield f"a folder that '{reader.name}' reads", reader.sample(folder)
        except Unavailable:
            continue


def reads_its_sample(subject: Subject) -> None:
    """Every row of its sample can be trained on, and every file of the sample is accounted for."""
    assert isinstance(subject.config, DataReaderConfig), "of that kind"
    report = check_folder(sample_of(subject), OPTIONS, subject.config)
    if report.problems:
        raise Failure(f"its sample cannot be read: {report.problems[0]}")
    if len(report.rows) < _LEAST:
        raise Failure(f"its sample has {len(report.rows)} usable rows; write {_LEAST} or more")
    if left := report.warnings[len(report.row_warnings) :]:
        raise Failure(
            f"spf warns of its sample: {left[0]}; name every file that a row comes from in Reading.files, or "
            "say in warnings() what a user should look at"
        )


def reads_alike(subject: Subject) -> None:
    """Read twice, the rows are the same in the same order."""
    data = sample_of(subject)
    first, second = (_rows(subject.build(), data) for _ in range(2))
    if first != second:
        raise Failure("two readings of one source differ; sort what the disk lists, and draw nothing")


def writes_nothing(subject: Subject) -> None:
    """Reading leaves the source as it is."""
    data = sample_of(subject)
    before = _contents(subject.folder / _SAMPLE)
    _rows(subject.build(), data)
    changed = {name for name, _ in before ^ _contents(subject.folder / _SAMPLE)}
    if changed:
        raise Failure(
            f"reading changes {', '.join(sorted(changed))} of the source; write an image that is in no file "
            "with spf_core.data.keep_image, and nothing else"
        )


def tells_of_damage(subject: Subject) -> None:
    """Of a damaged source, each problem is a DataError in its place."""
    data, folder = Path(sample_of(subject)), subject.folder / _SAMPLE
    files = sorted((file for file in folder.rglob("*") if file.is_file()), key=_pictures_last)
    reader: DataReader = subject.build()
    for number, file in enumerate(files[:_MOST_FILES]):
        for how, damage in _DAMAGES.items():
            copy = subject.folder / "damaged" / f"{number} {how}"
            shutil.copytree(folder, copy)
            damage(copy / file.relative_to(folder))
            _refuse_other_errors(
                reader, str(copy / data.relative_to(folder)), f"where '{file.name}' is {how}", subject
            )


def reads_captions(subject: Subject) -> None:
    """Where the reader has captions, each of its sample is a text with an image of the sample."""
    assert isinstance(subject.config, DataReaderConfig), "of that kind"
    if not hasattr(subject.build(), "captions"):
        raise NotApplicable("it has no captions(), which is optional")
    source, reader = Source(sample_of(subject), subject.config), cast(HasCaptions, subject.build())
    for place, read in reader.captions(source.data, OPTIONS):
        try:
            caption = read()
        except DataError:  # such as that a row has both texts already
            continue
        try:
            if not isinstance(caption, Caption):
                raise DataError(f"returns {quoted(caption)}; return a spf_core.data.Caption")
            source.checked(caption)
        except DataError as error:
            raise Failure(f"captions(), {place}: {error}") from None


def _refuse_other_errors(reader: DataReader, data: str, where: str, subject: Subject) -> None:
    asked = "recognises()"
    try:
        if not reader.recognises(data):
            return
        asked = "readings()"
        for reading in reader.readings(data, OPTIONS):
            asked = "the `read` of a Reading"
            if not isinstance(reading.place, str) or not reading.place.strip() or "\n" in reading.place:
                raise Failure(f"the place of a reading is {quoted(reading.place)}; name file and line")
            with suppress(DataError):
                reading.read()
            asked = "readings()"
    except DataError as error:
        if asked == "recognises()":
            raise Failure(f"recognises() raises {quoted(error)} {where}; return True or False") from None
    except Failure:
        raise
    except Exception as error:
        reason = reason_of(error, type(subject.config).__module__.partition(".")[0])
        raise Failure(
            f"{asked} fails {where}: {reason}; raise spf_core.errors.DataError, which says what is wrong and "
            "the way out"
        ) from None


def _cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


_DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut in half": _cut,
    "empty": lambda file: file.write_bytes(b""),
    "no text": lambda file: file.write_bytes(_NO_TEXT),
    "gone": Path.unlink,
}


def _pictures_last(file: Path) -> tuple[bool, str]:
    return file.suffix in (".png", ".jpg", ".jpeg", ".webp"), str(file)


def _rows(reader: DataReader, data: str) -> list[tuple[str, Row]]:
    return [(each.place, each.read()) for each in _readings(reader, data)]


def _readings(reader: DataReader, data: str) -> Iterator[Reading]:
    for each in reader.readings(data, OPTIONS):
        if not isinstance(each, Reading):
            raise Failure(f"readings() yields {quoted(each)}; yield spf_core.data.Reading")
        yield each


def _contents(folder: Path) -> set[tuple[str, str]]:
    """Name and hash of every file, and the name of every folder."""
    found = set()
    for file in folder.rglob("*"):
        content = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        found.add((file.relative_to(folder).as_posix(), content))
    return found


READERS: tuple[tuple[str, Check], ...] = (
    ("recognises its sample, and nothing else", recognises_its_own),
    ("reads every row and file of its sample", reads_its_sample),
    ("reads the same rows in the same order", reads_alike),
    ("reads captions, where it has them", reads_captions),
    ("writes nothing into the source", writes_nothing),
    ("tells of damage with a DataError and a place", tells_of_damage),
)
