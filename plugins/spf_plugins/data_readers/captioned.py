"""Rows of images with a caption file beside each, as kohya's tools lay them out.

The images lie in the folder itself, or in sub-folders `10_name class`, whose number says how often a pass
reads each image, or in both.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from spf_core.config.sections import DatasetSection
from spf_core.data.captions import split_by_trigger
from spf_core.data.files import lines_of, normal_form, read_text, refuse_link_outside, visible
from spf_core.data.images import is_picture
from spf_core.data.names import CAPTION_SUFFIXES, MASK_ENDING, is_caption, is_mask, masks_folder
from spf_core.data.row import Caption, Reading, Row
from spf_core.data.tables import MOST_REPEATS, checked_row
from spf_core.data.unused import sentence, unused_files
from spf_core.errors import DataError

_NUMBERED = re.compile(r"([0-9]+)_(.+)")
_ENDS_A_CLAUSE = tuple(
    ".,;:!?\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
)  # those of Chinese and Japanese too


@dataclass(frozen=True)
class Captioned:
    """An image with its caption, how often a pass reads it, and its mask if there is one."""

    image: Path
    caption: str
    repeats: int = 1
    mask: Path | None = None


@dataclass(frozen=True)
class Found:
    """An image and the files that belong to it, before any is read.

    `folder_caption` is the name of its sub-folder, which is its caption where it has no file.
    """

    image: Path
    caption_file: Path | None
    mask: Path | None
    repeats: int
    folder_caption: str

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is read of it."""
        return tuple(file for file in (self.image, self.caption_file, self.mask) if file)


@dataclass(frozen=True)
class _Numbered:
    """A sub-folder `NUMBER_NAME` with pictures."""

    path: Path
    number: int
    name: str


@dataclass(frozen=True)
class _Contents:
    """The pictures of one folder, its caption files, and its masks."""

    pictures: list[Path]
    captions: list[Path]
    masks: list[Path]


class CaptionedFolder:
    """Reads images with captions beside them."""

    def recognises(self, data: str) -> bool:
        """Whether there are sub-folders with repeats, or images with captions."""
        folder = Path(data)
        return folder.is_dir() and bool(_numbered(folder) or captions_by_picture(_contents(folder)))

    def readings(self, data: str, options: DatasetSection) -> Iterator[Reading]:
        """Each image's place and files, and how to read it: the row, or a DataError."""
        folder, trigger = Path(data), options.trigger
        if not trigger:
            raise DataError(
                f"the captions in '{folder}' say base and target in one; split them with a trigger, as in "
                f'--trigger "wearing a hat", or with `spf data prepare {folder}`'
            )
        for place, read in _refused(folder):
            yield Reading(str(place), partial(_row, read, trigger), visible(place))
        for found in find_captioned(folder, options):
            read = partial(_read, folder, found)
            yield Reading(str(found.caption_file or found.image), partial(_row, read, trigger), found.files)

    def warnings(self, data: str, options: DatasetSection, read: Collection[Path]) -> Sequence[str]:
        """Captions that are the name of a folder, and files that are not read."""
        folder = Path(data)
        return [*_folder_captions(folder, options), *unused_files(folder, options, read, source=None)]

    def captions(self, data: str, options: DatasetSection) -> Iterator[tuple[str, Callable[[], Caption]]]:
        """Each image in order of its name, and how to read its caption; that may raise DataError."""
        folder = Path(data)
        for place, refuse in _refused(folder):
            yield place.relative_to(folder).as_posix(), partial(_caption, folder, refuse)
        for found in find_captioned(folder, options):
            read = partial(_caption, folder, partial(_read, folder, found))
            yield found.image.relative_to(folder).as_posix(), read


def find_captioned(folder: Path, options: DatasetSection) -> Iterator[Found]:
    """Each image that is read, with its caption file and its mask."""
    numbered, own = _numbered(folder), _contents(folder)
    masks = masks_folder(folder, options)
    # Beside sub-folders, a picture without a caption is a preview; else it is a row with a fault.
    pictures = captions_by_picture(own) if numbered else own.pictures
    yield from _found(replace(own, pictures=sorted(pictures)), [own.masks, _masks(masks)])
    for each in numbered:
        if _fault(folder, each):
            continue
        contents = _contents(each.path)
        places = [contents.masks, _masks(masks / each.path.name), _masks(masks)]
        yield from _found(contents, places, each.number, each.name)


def captions_by_picture(contents: _Contents) -> dict[Path, list[Path]]:
    """The caption files of each picture that has some, called NAME.txt or NAME.png.txt; the first is read."""
    belonging = _belonging(contents.pictures, [(file, file.stem) for file in contents.captions])
    for picture, files in belonging.items():
        files.sort(key=lambda file: (file.stem == picture.name, CAPTION_SUFFIXES.index(file.suffix.lower())))
    return belonging


def _folder_captions(folder: Path, options: DatasetSection) -> list[str]:
    """A warning for pictures that have the name of their sub-folder as their caption.

    In a sub-folder of nothing but pictures that is meant, and needs no warning.
    """
    found = [each.image for each in find_captioned(folder, options) if not each.caption_file]
    places = {image.parent for image in found} - {folder}
    mixed = {place for place in places if not all(map(is_picture, visible(place)))}
    images = [image for image in found if image.parent in mixed]
    kind = "pictures without a caption file, whose caption is the name of their sub-folder"
    return [sentence(kind, images, folder)] if images else []


def _found(
    contents: _Contents, places: Sequence[Sequence[Path]], repeats: int = 1, name: str = ""
) -> Iterator[Found]:
    captions = captions_by_picture(contents)
    masks = [_belonging(contents.pictures, [(mask, _masked(mask)) for mask in place]) for place in places]
    for image in contents.pictures:
        own = [sorted(place.get(image, ()), key=lambda mask: mask.name != image.name) for place in masks]
        first = next((mask for place in own for mask in place), None)
        yield Found(image, next(iter(captions.get(image, ())), None), first, repeats, name)


def _belonging(pictures: Sequence[Path], files: Sequence[tuple[Path, str]]) -> dict[Path, list[Path]]:
    """The files of each picture that has some; each file comes with the name that it has of its picture.

    That is the picture's name, with or without suffix. Names are the same however their accents are stored,
    which a copy from a Mac changes. Only a file that no picture is called like may differ in case.
    """
    belonging = defaultdict[Path, list[Path]](list)
    exact, folded = (_by_name(pictures, fold) for fold in (normal_form, _folded))
    for file, name in files:
        for picture in exact.get(normal_form(name)) or folded.get(_folded(name)) or ():
            belonging[picture].append(file)
    return dict(belonging)


def _by_name(pictures: Sequence[Path], fold: Callable[[str], str]) -> Mapping[str, Sequence[Path]]:
    named = defaultdict[str, list[Path]](list)
    for picture in pictures:
        for name in (picture.stem, picture.name):
            named[fold(name)].append(picture)
    return named


def _folded(name: str) -> str:
    return normal_form(normal_form(name).casefold())


def _masked(mask: Path) -> str:
    return mask.stem[: -len(MASK_ENDING)] if is_mask(mask) else mask.stem


def _row(read: Callable[[], Captioned], trigger: str) -> Row:
    found = read()
    texts = split_by_trigger(found.caption, trigger)
    return checked_row({"repeats": found.repeats}, texts, image=found.image, mask=found.mask)


def _caption(folder: Path, read: Callable[[], Captioned]) -> Caption:
    found = read()
    values: dict[str, Any] = {"repeats": found.repeats} if found.repeats > 1 else {}
    if found.mask is not None:
        values["mask"] = found.mask.relative_to(folder).as_posix()
    return Caption(found.image.relative_to(folder).as_posix(), found.caption, values)


def _read(folder: Path, found: Found) -> Captioned:
    """The image with its caption: its file's text, or else the name of its sub-folder."""
    for file in found.files:
        refuse_link_outside(folder, file)
    if found.caption_file is None:
        caption, reason = found.folder_caption, f"write {found.image.with_suffix('.txt').name} beside it"
    else:
        caption, reason = _one_line(read_text(folder, found.caption_file)), "the file is empty"
    if not caption:
        raise DataError(f"image '{found.image}' has no caption; {reason}")
    return Captioned(found.image, caption, found.repeats, found.mask)


def _one_line(text: str) -> str:
    """All lines of a caption as one; a comma joins those that do not end with a mark of their own."""
    joined = ""
    for line in filter(None, map(str.strip, lines_of(text))):
        mark = "" if not joined else " " if joined.endswith(_ENDS_A_CLAUSE) else ", "
        joined += mark + line
    return joined


def _refused(folder: Path) -> Iterator[tuple[Path, Callable[[], Captioned]]]:
    """The sub-folders that cannot be read as their names say, and the DataError of each."""

    def refuse(fault: DataError) -> Captioned:
        raise fault

    for each in _numbered(folder):
        if fault := _fault(folder, each):
            yield each.path, partial(refuse, fault)


def _fault(folder: Path, each: _Numbered) -> DataError | None:
    try:
        refuse_link_outside(folder, each.path)
    except DataError as error:
        return error
    if each.number <= MOST_REPEATS:
        return None
    return DataError(
        f"its name asks for {each.number} repeats of each picture, {MOST_REPEATS} are the most; rename it to "
        f"'1_{each.name}' to read its pictures once, or to '{each.name}' to leave them out"
    )


def _numbered(folder: Path) -> list[_Numbered]:
    found = []
    for each in visible(folder):
        match = _NUMBERED.fullmatch(each.name)
        if match and int(match[1]) > 0 and each.is_dir() and _contents(each).pictures:
            found.append(_Numbered(each, int(match[1]), match[2].strip()))
    return found


def _masks(folder: Path) -> Sequence[Path]:
    """The pictures of a folder of masks."""
    if not folder.is_dir():
        return ()
    contents = _contents(folder)
    return [*contents.masks, *contents.pictures]


def _contents(folder: Path) -> _Contents:
    contents = _Contents([], [], [])
    for file in visible(folder):
        if is_mask(file):
            contents.masks.append(file)
        elif is_picture(file):
            contents.pictures.append(file)
        elif is_caption(file):
            contents.captions.append(file)
    return contents
