"""A cell's pictures in one small file: tiles of the pairs that grids and pages show."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from spf_core.utils.atomic import atomic_file
from spf_lab.benchmark.plan import SHEET_FILE
from spf_lab.evaluation.pictures import LOSSY, Pictures, read_pictures

Tiles = Mapping[str, Sequence[int]]  # role -> pairs
REGION = "region"
WORST_SHOWN = 3  # pairs of each preset on the page
_COLUMNS = 8
_LARGEST = 96  # pixels of a tile's side
_QUALITY = 92


@dataclass(frozen=True)
class Layout:
    """Which pairs' tiles a sheet holds, role by role in this order, row by row from the left.

    `size` is a tile's width and height; `sha256` that of the file. The region is white where the target may
    change the picture.
    """

    size: Sequence[int]
    tiles: Tiles
    sha256: str


@dataclass(frozen=True)
class ContactSheet:
    """A sheet that was read: pictures by pair."""

    content: bytes
    layout: Layout

    def pictures(self, pair: int) -> Pictures:
        """What is kept of a pair; roles that are not are left out."""
        found = {
            role: self._tile(place)
            for place, (role, number) in enumerate(_places(self.layout.tiles))
            if number == pair
        }
        region = found.pop(REGION, None)
        return Pictures(found, None if region is None else np.asarray(region.convert("L")) > 127)

    def _tile(self, place: int) -> Image.Image:
        width, height = self.layout.size
        x, y = place % _COLUMNS * width, place // _COLUMNS * height
        return self._image.crop((x, y, x + width, y + height))

    @cached_property
    def _image(self) -> Image.Image:
        image = Image.open(io.BytesIO(self.content)).convert("RGB")
        image.info[LOSSY] = True
        return image


def write_contact_sheet(file: Path, evaluation: Path, wanted: Tiles) -> Layout | None:
    """Write what the evaluation's folder keeps of `wanted`; None when it keeps nothing."""
    kept = {pair: _kept(evaluation, pair) for pair in sorted({i for pairs in wanted.values() for i in pairs})}
    tiles = {role: [pair for pair in pairs if role in kept[pair]] for role, pairs in wanted.items()}
    pictures = [kept[pair][role] for role, pair in _places(tiles)]
    if not pictures:
        return None
    sheet = _drawn(pictures, tiles)
    with atomic_file(file) as temporary:
        temporary.write_bytes(sheet.content)
    return sheet.layout


def thinned(sheet: ContactSheet, wanted: Tiles) -> ContactSheet | None:
    """The sheet with the wanted tiles alone, compressed once more; None when it holds none of them."""
    held = set(_places(sheet.layout.tiles))
    tiles = {role: [pair for pair in pairs if (role, pair) in held] for role, pairs in wanted.items()}
    pictures = [sheet.pictures(pair).roles[role] for role, pair in _places(tiles)]
    return _drawn(pictures, tiles) if pictures else None


def read_contact_sheet(content: bytes, layout: Layout) -> ContactSheet:
    """The sheet of a file's content; ValueError when it is another one."""
    if hashlib.sha256(content).hexdigest() != layout.sha256:
        raise ValueError(f"{SHEET_FILE} is not the one of the record")
    return ContactSheet(content, layout)


def _drawn(pictures: Sequence[Image.Image], tiles: Tiles) -> ContactSheet:
    first = pictures[0].copy()
    first.thumbnail((_LARGEST, _LARGEST))
    width, height = first.size
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width, rows * height))
    for place, picture in enumerate(pictures):
        shown = (
            picture if picture.size == first.size else picture.resize(first.size, Image.Resampling.LANCZOS)
        )
        sheet.paste(shown, (place % _COLUMNS * width, place // _COLUMNS * height))
    stream = io.BytesIO()
    sheet.save(stream, format="WEBP", quality=_QUALITY, method=6)
    content = stream.getvalue()
    return ContactSheet(content, Layout(list(first.size), tiles, hashlib.sha256(content).hexdigest()))


def _kept(evaluation: Path, pair: int) -> dict[str, Image.Image]:
    found = read_pictures(evaluation, pair)
    region = {} if found.region_HW is None else {REGION: Image.fromarray(found.region_HW).convert("RGB")}
    return {**found.roles, **region}


def _places(tiles: Tiles) -> list[tuple[str, int]]:
    return [(role, pair) for role, pairs in tiles.items() for pair in pairs]
