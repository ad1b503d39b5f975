"""Rows of a Hugging Face dataset, by hub id or from a folder, through the `datasets` library."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spf_core.config.sections import DatasetSection
from spf_core.data.files import real_path, refuse_link_outside, visible
from spf_core.data.images import keep_image
from spf_core.data.row import Reading, Row
from spf_core.data.tables import NAMES, REQUIRED, checked_row, inside, no_rows, texts_of
from spf_core.data.unused import unused_files
from spf_core.errors import DataError, short

SAVED = ("state.json", "dataset_dict.json")
STORED = (".parquet", ".arrow")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class HuggingFaceDataset:
    """Reads a dataset of the hub, or one in a folder."""

    def recognises(self, data: str) -> bool:
        """Whether this looks like `owner/name` and is nothing on this disk, or is a folder with a dataset."""
        return _is_hub_id(data) or _is_dataset(Path(data))

    def readings(self, data: str, options: DatasetSection) -> Iterator[Reading]:
        """Each row's place, and how to read it: the row, or a DataError."""
        table = _as_files(_load(data, options), data, options)
        for number in range(len(table)):
            place, read = f"{data}, row {number}", partial(_row, data, table, number, options)
            yield Reading(place, read, keys=table.column_names)
        if not len(table):
            raise no_rows(Path(data))

    def warnings(self, data: str, options: DatasetSection, read: Collection[Path]) -> Sequence[str]:
        """The files of a folder without a row."""
        folder = Path(data)
        if not folder.is_dir():
            return []
        return unused_files(folder, options, {*read, *_stored_tables(folder)}, source="the dataset")


def _is_hub_id(data: str) -> bool:
    return bool(_HUB_ID.fullmatch(data)) and not data.startswith(".") and not Path(data).exists()


def _is_dataset(folder: Path) -> bool:
    """Whether the folder holds what the library saves, or tables with images in them."""
    return any((folder / name).is_file() for name in SAVED) or bool(_stored_tables(folder))


def _stored_tables(folder: Path) -> list[Path]:
    """The tables that the library reads from the folder."""
    places = (place for place in (folder, folder / "data") if place.is_dir())
    return [file for place in places for file in visible(place) if file.suffix in STORED and file.is_file()]


def _row(data: str, table: Any, number: int, options: DatasetSection) -> Row:
    values = {key: value for key, value in table[number].items() if value is not None}
    names = _names(options)
    texts = texts_of(values, names, options.trigger)
    mask = values.get(names["mask"])
    return checked_row(
        values,
        texts,
        image=_file(data, names["image"], values.get(names["image"])),
        mask=None if mask is None else _file(data, names["mask"], mask),
    )


def _names(options: DatasetSection) -> dict[str, str]:
    return {**NAMES, "image": "image", "mask": "mask", **options.columns}


def _load(data: str, options: DatasetSection) -> Any:
    datasets = _library(data)
    try:
        if any((Path(data) / name).is_file() for name in SAVED):
            loaded = datasets.load_from_disk(data)
            return loaded if isinstance(loaded, datasets.Dataset) else loaded[options.split]
        return datasets.load_dataset(data, options.subset, split=options.split, revision=options.revision)
    except Exception as error:  # of pyarrow, the hub's client, the library itself
        reason = short(" ".join(str(error).split()), 160)
        raise DataError(
            f"{_what(data)} cannot be loaded, split '{options.split}' ({type(error).__name__}: {reason}); "
            "set dataset.split, dataset.subset or dataset.revision, or give a folder"
        ) from None


def _what(data: str) -> str:
    return (
        f"dataset '{data}'" if Path(data).exists() else f"'{data}', no folder here but a dataset of the hub,"
    )


def _library(data: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{_what(data)} needs the datasets library, which is not installed: pip install 'spf[datasets]'"
        ) from None
    datasets.disable_progress_bars()
    return datasets


def _as_files(table: Any, data: str, options: DatasetSection) -> Any:
    """The table with its pictures as files or bytes, not decoded; DataError when columns are missing."""
    datasets, names, columns = _library(data), _names(options), table.column_names
    if names["image"] not in columns:
        raise DataError(
            f"dataset '{data}' has no column '{names['image']}'; its columns: {', '.join(columns)}; "
            "choose with --set dataset.columns.image=NAME"
        )
    texts = {names.get(name, name) for name in REQUIRED[1:]}
    if not texts <= set(columns) and not (options.trigger and names["caption"] in columns):
        raise DataError(
            f"dataset '{data}' lacks {' and '.join(sorted(texts - set(columns)))}; its columns: "
            f"{', '.join(columns)}; choose with --set dataset.columns.base_text=NAME and target_text=NAME, "
            "or split a caption with --set dataset.columns.caption=NAME and --trigger"
        )
    for column in (names["image"], names["mask"]):
        if column in columns and not isinstance(table.features[column], datasets.Value):
            try:
                table = table.cast_column(column, datasets.Image(decode=False))
            except Exception as error:
                reason = short(" ".join(str(error).split()))
                raise DataError(
                    f"column '{column}' of '{data}' holds no images ({reason}); "
                    "name one that does with --set dataset.columns.image=NAME"
                ) from None
    return table


def _file(data: str, column: str, value: Any) -> Path:
    """Where the picture lies; bytes are written to the cache under their own hash, once."""
    if isinstance(value, str):
        return inside(Path(data), column, value)
    if not isinstance(value, Mapping):
        raise DataError(
            f"'{column}' holds no image: {short(json.dumps(value, default=str))}; "
            "name a column of images with --set dataset.columns.image=NAME"
        )
    if value.get("bytes"):
        return keep_image(value["bytes"], Path(value.get("path") or "").suffix)
    if not value.get("path"):
        raise DataError(f"'{column}' is empty")
    return _stored(data, value["path"])


def _stored(data: str, name: str) -> Path:
    """A picture that the table only names: a file of the folder, or one that the library has fetched."""
    if Path(data).is_dir():
        file = Path(data) / name
        refuse_link_outside(Path(data), file)
        return file
    from huggingface_hub.constants import HF_HUB_CACHE

    fetched = (_library(data).config.HF_DATASETS_CACHE, HF_HUB_CACHE)
    if not any(Path(real_path(Path(name))).is_relative_to(real_path(Path(place))) for place in fetched):
        raise DataError(f"'{short(name)}' is no file of the dataset; choose one that stores its images")
    return Path(name)
