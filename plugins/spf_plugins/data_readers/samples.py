"""Small sources of each layout, for the checks of the readers' contract."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from spf_core.data import METADATA
from spf_core.errors import Unavailable
from spf_plugins.data_readers.tables import CSV

_BASE, _TARGET = "a portrait of an old man, red hair", "wearing a hat"
_COUNT, _SIDE = 4, 32


def write_jsonl(folder: Path) -> str:
    """Images with metadata.jsonl."""
    lines = [json.dumps(row) for row in _rows(folder)]
    (folder / METADATA).write_text("\n".join(lines), encoding="utf-8")
    return str(folder)


def write_csv(folder: Path) -> str:
    """Images with metadata.csv."""
    rows = list(_rows(folder))
    with (folder / CSV).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return str(folder)


def write_captioned(folder: Path) -> str:
    """Images with a .txt file each."""
    for row in _rows(folder):
        caption = f"{row['base_text']}, {row['target_text']}"
        (folder / row["file_name"]).with_suffix(".txt").write_text(caption, encoding="utf-8")
    return str(folder)


def write_dataset(folder: Path) -> str:
    """A dataset with images in it; Unavailable without the datasets library."""
    try:
        import datasets
    except ImportError:
        raise Unavailable("the datasets library is not installed: pip install 'spf[datasets]'") from None
    datasets.disable_progress_bars()
    columns = {
        "image": list(map(_picture, range(_COUNT))),
        "base_text": [_BASE] * _COUNT,
        "target_text": [_TARGET] * _COUNT,
    }
    datasets.Dataset.from_dict(columns).to_parquet(str(folder / "train.parquet"))
    return str(folder)


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    for number in range(_COUNT):
        _picture(number).save(folder / f"{number}.png")
        yield {"file_name": f"{number}.png", "base_text": _BASE, "target_text": _TARGET}


def _picture(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 255, (_SIDE, _SIDE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
