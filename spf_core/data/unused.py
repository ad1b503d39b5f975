"""What lies in a training folder and no row reads: one sentence for each kind. Torch-free."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data.files import first_names, is_hidden, real_path
from spf_core.data.images import SUFFIXES, has_picture, is_picture, is_unread_picture
from spf_core.data.names import CAPTION_SUFFIXES, is_caption, is_mask, masks_folder

_TABLES = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".xls", ".xlsx", ".ods", ".parquet", ".arrow"})
_JSON_TABLES = frozenset({"metadata.json", "captions.json", "meta_cap.json"})  # other JSON files are settings
_NO_CAPTIONS = frozenset({"readme", "license", "licence"})


@dataclass(frozen=True)
class _Folder:
    """A training folder: the files that its rows `read`, and the table they come from, if any."""

    path: Path
    options: DatasetSection
    read: frozenset[str]
    source: str | None

    @cached_property
    def files(self) -> list[Path]:
        """All files in it and its sub-folders that are not hidden, and links to folders, which end there."""
        return sorted(_files(self.path))

    @cached_property
    def folders(self) -> set[Path]:
        """Where rows are looked for: the folder itself, and wherever a row's image lies."""
        return {self.path, *(file.parent for file in self.files if self.is_read(file) and is_picture(file))}

    @cached_property
    def unread_pictures(self) -> set[Path]:
        """Pictures of file types that cannot be read, and beside the rows' images those of other names."""
        known = {*CAPTION_SUFFIXES, *_TABLES, *SUFFIXES}
        left = [file for file in self.files if not self.is_read(file)]
        beside = (file for file in left if file.parent in self.folders and file.suffix.lower() not in known)
        return {*filter(is_unread_picture, left), *filter(has_picture, beside)}

    @cached_property
    def names_of_pictures(self) -> set[Path]:
        """The pictures as captions are called after them, with and without suffix."""
        pictures = [*filter(is_picture, self.files), *self.unread_pictures]
        return {*pictures, *(file.with_suffix("") for file in pictures)}

    @cached_property
    def names_of_read(self) -> set[Path]:
        """The same of what the rows read."""
        read = [*filter(self.is_read, self.files)]
        return {*read, *(file.with_suffix("") for file in read)}

    def is_read(self, file: Path) -> bool:
        """Whether a row reads it."""
        return real_path(file) in self.read

    def kind(self, file: Path) -> str | None:
        """What the file is, and what can be done about it; None for what is read or is no data."""
        if file.is_dir():
            return self._kind_of_link(file)
        if self.is_read(file):
            return None
        if file in self.unread_pictures:
            return "pictures of a file type that is not read|save them as PNG or JPEG"
        if is_picture(file):
            return self._kind_of_picture(file)
        if is_caption(file):
            return self._kind_of_caption(file)
        if self._is_table(file):
            return f"tables that are not read, as the rows come from {self.source or 'captions'}"
        return None

    def _is_table(self, file: Path) -> bool:
        called = file.suffix.lower() in _TABLES or file.name.lower() in _JSON_TABLES
        return called and file.parent in self.folders

    def _kind_of_picture(self, file: Path) -> str:
        if self.source is not None:
            return f"pictures without a row in {self.source}, which are not read"
        if masks_folder(self.path, self.options) in file.parents or (
            file.parent in self.folders and is_mask(file)
        ):
            return "masks that are not read, as no picture of their name lacks one"
        if file.parent in self.folders:
            return "pictures without a caption, which are not read|write NAME.txt beside each"
        if "mask" in file.parent.name.casefold():
            return f"masks in sub-folders that are not read|name their sub-folder '{self.options.masks}'"
        return (
            "pictures in sub-folders that are not read|move them up, or name their sub-folder NUMBER_NAME "
            "after the number of repeats"
        )

    def _kind_of_caption(self, file: Path) -> str | None:
        if file.with_suffix("") not in self.names_of_pictures:
            return None if file.stem.lower() in _NO_CAPTIONS else "captions without a picture"
        if self.source is None and file.with_suffix("") in self.names_of_read:
            return "captions that are not read, as their picture has another"
        return None  # its picture is not read either, or a table has the texts

    def _kind_of_link(self, link: Path) -> str | None:
        inside = f"{real_path(link)}{os.sep}"
        return (
            None if any(file.startswith(inside) for file in self.read) else "links to folders, not followed"
        )


def unused_files(
    folder: Path, options: DatasetSection, read: Iterable[Path], *, source: str | None
) -> list[str]:
    """A warning for each kind of data in the folder that is not among the files that are `read`.

    `source` is the table that the rows come from; None where they come from captions.
    """
    looked_at = _Folder(folder, options, frozenset(map(real_path, read)), source)
    kinds = defaultdict[str, list[Path]](list)
    for file in looked_at.files:
        if kind := looked_at.kind(file):
            kinds[kind].append(file)
    return [sentence(kind, files, folder) for kind, files in kinds.items()]


def sentence(kind: str, files: list[Path], folder: Path) -> str:
    """A warning about files of one kind, whose way out stands behind a `|`."""
    what, _, way_out = kind.partition("|")
    return f"{what} ({len(files)}): {first_names(files, folder)}" + (f"; {way_out}" if way_out else "")


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in [*names, *links] if not is_hidden(name))
