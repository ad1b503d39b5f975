"""Rows of images with a caption file beside each, as kohya's tools lay them out.

Either the images lie in sub-folders `10_name class`, whose number says how often a pass reads each image, or
in the folder itself.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spf_core.data.captions import split_by_trigger
from spf_core.data.images import SUFFIXES
from spf_core.data.row import Row
from spf_core.data.tables import Reading, checked_row
from spf_core.errors import DataError
from spf_core.sections import DatasetSection

CAPTION_SUFFIXES = (".txt", ".caption")
MASK_ENDING = "-masklabel"
_REPEATED = re.compile(r"(\d+)_(.+)")


@dataclass(frozen=True)
class Captioned:
    """An image with its caption, how often a pass reads it, and its mask if there is one."""

    image: Path
    caption: str
    repeats: int = 1
    mask: Path | None = None


def is_captioned(folder: Path) -> bool:
    """Whether there are sub-folders with repeats, or images with captions."""
    if _repeated_folders(folder):
        return True
    return any(_caption_file(image) for image in _images(folder))


def read_captioned(folder: Path, options: DatasetSection) -> Iterator[Reading]:
    """Each image's place, and how to read it: the row, or a DataError."""
    trigger = options.trigger
    if not trigger:
        raise DataError(
            f"the captions in '{folder}' say base and target in one; split them with a trigger, as in "
            f'--trigger "wearing a hat", or with `spf data prepare {folder}`'
        )
    for image, read in captioned_files(folder, options):
        yield str(_caption_file(image) or image), partial(_row, read, trigger)


def captioned_files(folder: Path, options: DatasetSection) -> Iterator[tuple[Path, Callable[[], Captioned]]]:
    """Each image in order of its name, and how to read its caption; that may raise DataError."""
    for each, repeats, name in _repeated_folders(folder) or [(folder, 1, "")]:
        for image in _images(each):
            yield image, partial(captioned, folder, image, repeats, name, options)


def _row(read: Callable[[], Captioned], trigger: str) -> Row:
    found = read()
    texts = split_by_trigger(found.caption, trigger)
    return checked_row({"repeats": found.repeats}, texts, image=found.image, mask=found.mask)


def captioned(folder: Path, image: Path, repeats: int, name: str, options: DatasetSection) -> Captioned:
    """The image's caption: the first line of its file, or else the name of its sub-folder."""
    file = _caption_file(image)
    caption = name if file is None else _first_line(file)
    if not caption:
        raise DataError(f"image '{image}' has no caption; write {image.with_suffix('.txt').name} beside it")
    return Captioned(image, caption, repeats, _mask(folder, image, options))


def unread_folders(folder: Path) -> list[str]:
    """Names of sub-folders with images that no number of repeats leads."""
    repeated = _repeated_folders(folder)
    return [
        each.name
        for each in _folders(folder)
        if repeated and not _REPEATED.fullmatch(each.name) and each.name != "masks" and _images(each)
    ]


def _repeated_folders(folder: Path) -> list[tuple[Path, int, str]]:
    found = [(each, _REPEATED.fullmatch(each.name)) for each in _folders(folder)]
    repeated = [(each, int(match[1]), match[2].strip()) for each, match in found if match]
    return [(each, repeats, name) for each, repeats, name in repeated if repeats > 0]


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir())


def _images(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.stem.endswith(MASK_ENDING)
    )


def _caption_file(image: Path) -> Path | None:
    return next((file for end in CAPTION_SUFFIXES if (file := image.with_suffix(end)).is_file()), None)


def _first_line(file: Path) -> str:
    try:
        lines = file.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError("is not UTF-8; save the file as UTF-8") from None
    return next((line.strip() for line in lines if line.strip()), "")


def _mask(folder: Path, image: Path, options: DatasetSection) -> Path | None:
    """`NAME-masklabel.png` beside the image, or a picture of its name in the folder of masks."""
    beside = image.with_name(f"{image.stem}{MASK_ENDING}.png")
    if beside.is_file():
        return beside
    masks = folder / options.masks
    places = masks / image.relative_to(folder).parent, masks
    files = (place / f"{image.stem}{suffix}" for place in places for suffix in sorted(SUFFIXES))
    return next((file for file in files if file.is_file()), None)
