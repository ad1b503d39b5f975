"""A source of training rows, opened with its reader; those of others are contained and checked."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spf_core.config.sections import DatasetSection
from spf_core.data.files import real_path, visible
from spf_core.data.images import kept_images
from spf_core.data.row import Caption, Reading, Row
from spf_core.data.tables import check_row
from spf_core.data.unused import unused_files
from spf_core.errors import DataError, PluginError, SpfError, quoted, short
from spf_core.plugins.configs import DataReaderConfig, label
from spf_core.plugins.constructing import package_of
from spf_core.plugins.containment import contained
from spf_core.plugins.readers import built_reader, installed_readers, reader_for, recognises

if TYPE_CHECKING:
    from spf_core.interfaces import Advises, DataReader, HasCaptions

T = TypeVar("T")
_END = object()
_YIELDED = {Reading: "spf_core.data.Reading objects", tuple: "tuples of a place and a function that reads it"}


@dataclass(frozen=True)
class Source:
    """What `--data` names, with the reader that reads it."""

    data: str
    config: DataReaderConfig

    @property
    def by(self) -> str:
        """The reader's name behind a problem, where it is one of others."""
        return f" ({label(self.config)})" if self.config.provided_by else ""

    def readings(self, options: DatasetSection) -> Iterator[Reading]:
        """Each row that is yet to be read; DataError where none can be, or the reader fails."""
        if not self.config.provided_by:
            return self._reader.readings(self.data, options)
        readings = self._each(lambda: self._reader.readings(self.data, options), Reading)
        return (self._call(partial(self._plain, each)) for each in readings)

    def warnings(self, options: DatasetSection, read: Collection[Path]) -> Sequence[str]:
        """What a user should look at. `read` are the files of all readings and rows."""
        reader, folder = _advising(self._reader), Path(self.data)
        if reader is None:
            source = f"the data of '{self.config.name}'"
            return unused_files(folder, options, read, source=source) if folder.is_dir() else []
        if not self.config.provided_by:
            return reader.warnings(self.data, options, read)
        return self._call(lambda: [_line(each) for each in reader.warnings(self.data, options, read)])

    def captions(self, options: DatasetSection) -> Iterator[tuple[str, Callable[[], Caption]]]:
        """The place of each caption, and how to read it; none where the layout has no captions."""
        reader = _having_captions(self._reader)
        if reader is None:
            return
        if not self.config.provided_by:
            yield from reader.captions(self.data, options)
            return
        for place, read in self._each(lambda: reader.captions(self.data, options), tuple):
            yield _line(place), partial(self._caption, read)

    @cached_property
    def _reader(self) -> "DataReader":
        return built_reader(self.config)

    def _each(self, start: Callable[[], Iterator[Any]], kind: type[T]) -> Iterator[T]:
        """What a reader of others yields; DataError for what is not of the kind."""
        found = self._call(lambda: iter(start()))
        while (each := self._call(lambda: next(found, _END))) is not _END:
            if not isinstance(each, kind):
                raise DataError(
                    f"{self.data}: its reader yields {quoted(each)}{self.by}; yield {_YIELDED[kind]}"
                )
            yield each

    def _plain(self, reading: Reading) -> Reading:
        """The reading with plain values, whose row is checked."""
        return Reading(
            _line(reading.place) or self.data,
            partial(self._row, reading.read),
            tuple(map(Path, reading.files)),
            tuple(map(str, reading.keys)),
        )

    def _row(self, read: Callable[[], Any]) -> Row:
        row = self._read(read, Row)
        check_row(row)
        for file in (row.image, row.mask):
            if file is not None:
                self._refuse_elsewhere(file)
        return row

    def _caption(self, read: Callable[[], Any]) -> Caption:
        try:
            return self.checked(self._read(read, Caption))
        except DataError as error:
            raise DataError(f"{error}{self.by}") from error

    def checked(self, caption: Caption) -> Caption:
        """The caption, if it has two texts and an image of the data; DataError if not."""
        if not isinstance(caption.file_name, str) or not isinstance(caption.text, str):
            raise DataError(
                f"a Caption has the image {quoted(caption.file_name)} and the text {quoted(caption.text)}; "
                "give two texts"
            )
        if not isinstance(caption.values, Mapping):
            raise DataError(f"a Caption has the values {quoted(caption.values)}; give a mapping, as {{}}")
        file = Path(self.data) / caption.file_name
        if Path(caption.file_name).is_absolute() or not file.is_file():
            raise DataError(
                f"a Caption has the image {quoted(caption.file_name)}; name one of the data folder, "
                "relative to it"
            )
        self._refuse_elsewhere(file)
        return caption

    def _read(self, read: Callable[[], Any], kind: type[T]) -> T:
        """What a reader of others reads in one place; DataError where it raises anything, or another kind."""
        try:
            found = contained(read, what="its reader failed", package=package_of(self.config))
        except SpfError as error:
            raise DataError(str(error)) from error
        if not isinstance(found, kind):
            raise DataError(f"its reader returns {quoted(found)}; return a spf_core.data.{kind.__name__}")
        return found

    def _refuse_elsewhere(self, file: Path) -> None:
        """DataError for a file that lies neither with the data nor among the images that spf keeps."""
        data = Path(self.data)
        folder = data if data.is_dir() else data.parent if data.exists() else None
        places = [place for place in (folder, kept_images()) if place is not None]
        real = real_path(file)
        if not any(Path(real).is_relative_to(real_path(place)) for place in places):
            raise DataError(
                f"'{file}' lies outside the data folder, at '{real}'; a reader gives files of the data, or "
                "of spf_core.data.keep_image"
            )

    def _call(self, call: Callable[[], T]) -> T:
        """What the reader of others returns; DataError with its name for whatever it raises."""
        try:
            return contained(call, what="its reader failed", package=package_of(self.config))
        except PluginError as error:
            raise DataError(f"{self.data}: {error}{self.by}") from error
        except SpfError as error:
            raise DataError(f"{error}{self.by}") from error


def source_of(data: str, reader: DataReaderConfig | None) -> Source | None:
    """The source with the chosen reader, or the first that recognises it; None where none does.

    DataError where the chosen reader does not recognise it, and for a folder that cannot be listed.
    """
    if Path(data).is_dir():
        visible(Path(data))
    if reader is None:
        found = reader_for(data, installed_readers())
        return None if found is None else Source(data, found)
    if not recognises(reader, data):
        gone = "" if Path(data).exists() else ", which does not exist here"
        reads = f": it reads {reader.reads}" if reader.reads else ""
        raise DataError(
            f"{label(reader)} does not recognise '{data}'{gone}{reads}; leave out `reader`, and spf asks all"
        )
    return Source(data, reader)


def captions_of(
    data: str, options: DatasetSection, reader: DataReaderConfig | None = None
) -> Iterator[tuple[str, Callable[[], Caption]]]:
    """The captions of the chosen reader, or the first that recognises the source and whose layout has some.

    DataError where the chosen reader does not recognise the source, or reads no captions.
    """
    if reader is not None and _having_captions(built_reader(reader)) is None:
        raise DataError(f"{label(reader)} reads no captions; leave out `reader`, and spf asks all")
    if reader is not None and (source := source_of(data, reader)):
        yield from source.captions(options)
    elif found := reader_for(data, installed_readers(), having="captions"):
        yield from Source(data, found).captions(options)


def asked() -> str:
    """What the installed readers look for, and their names, for a message on what none of them recognises."""
    readers = installed_readers()
    first, *others = [each.reads or f"what '{each.name}' reads" for each in readers] or ["reader"]
    looked_for = "; nor ".join([first, ", nor ".join(others)]) if others else first
    return f"{looked_for} (readers: {', '.join(each.name for each in readers)})"


def asked_others() -> str:
    """The end of a message on what is no folder: the readers of others, which may read something else."""
    names = [label(each) for each in installed_readers() if each.provided_by]
    return f"; no other reader recognises it either: {', '.join(names)}" if names else ""


def _advising(reader: Any) -> "Advises | None":
    return reader if hasattr(reader, "warnings") else None  # the protocol itself would import torch


def _having_captions(reader: Any) -> "HasCaptions | None":
    return reader if hasattr(reader, "captions") else None


def _line(text: Any) -> str:
    return short(" ".join(str(text).split()), 300)
