"""Contract of data readers: where training rows come from, whatever their layout is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from spf_core.config.sections import DatasetSection
    from spf_core.data import Caption, Reading


class DataReader(Protocol):
    """Reads training rows of one layout."""

    def recognises(self, data: str) -> bool:
        """Whether `data` is laid out as this reader reads it.

        `data` is what the user gave, with `~` expanded: the path of a folder or file, or an id that is no
        path. It may be empty, damaged, or not there. Look at names and at the first bytes of a file at
        most: spf asks every reader until one says yes, spf's own first. Write nothing, and use no network.
        """

    def readings(self, data: str, options: "DatasetSection") -> "Iterator[Reading]":
        """Every row in order, the same each time; a run resumes with it.

        `options` are the settings of `dataset`, such as `trigger` and `columns`. DataError where no row can
        be read at all. A row that cannot be read is a Reading whose `read` raises, so that `spf data check`
        lists the problems of all rows.

        The image and mask of a row are files on this disk. They lie in the folder `data` or, where `data`
        is a file, in that file's folder. Write an image that is in no file with `spf_core.data.keep_image`.
        Write nothing into the folder. spf decodes the images, and checks each row.
        """


@runtime_checkable
class Advises(Protocol):
    """A reader with sentences of its own for the user, in place of those on files that no row reads."""

    def warnings(self, data: str, options: "DatasetSection", read: Collection[Path]) -> Sequence[str]:
        """What a user should look at, a sentence each. `read` are the files of all readings and rows."""


@runtime_checkable
class HasCaptions(Protocol):
    """A reader whose layout has captions, which `spf data prepare` splits into base and target texts."""

    def captions(self, data: str, options: "DatasetSection") -> "Iterator[tuple[str, Callable[[], Caption]]]":
        """The place of each caption, and how to read it: the caption, or a DataError with the reason."""
