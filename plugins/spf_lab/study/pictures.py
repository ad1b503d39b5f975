"""The pictures of a study: one size, named after their pixels, without metadata."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from spf_core.data import open_rgb
from spf_core.errors import DataError
from spf_lab.study.design import CORRUPTED, ORIGINAL, Picture
from spf_lab.study.sources import Scene

_BLOCKS = 8  # a corrupted picture is cut into this many blocks along each side


class Album:
    """Hands out file names for pictures and keeps what they show; every file is named after its content."""

    def __init__(self, scenes: Sequence[Scene], seed: int) -> None:
        self.scenes, self.seed = scenes, seed
        self.size = open_rgb(scenes[0].original).size
        self.origins: dict[str, str] = {}
        self._names: dict[tuple[Path, bool], str] = {}
        self._images: dict[str, Image.Image] = {}

    def name(self, picture: Picture) -> str:
        """The file name under which the page shows a picture; DataError when it cannot be used."""
        file, spoilt = self._file(picture), picture.by == CORRUPTED
        if (file, spoilt) not in self._names:
            image = self._open(file)
            if spoilt:
                image = corrupted(image, seed=self.seed + picture.scene)
            name = hashlib.sha256(image.tobytes()).hexdigest()[:16] + ".png"
            self._names[file, spoilt], self._images[name] = name, image
            self.origins.setdefault(name, f"{picture.by}: {file}")
        return self._names[file, spoilt]

    def original(self, scene: int) -> str:
        """The file name of a scene's original."""
        return self.name(Picture(scene, ORIGINAL))

    def save(self, folder: Path) -> None:
        """Write every picture that was asked for as PNG, pixels and nothing else."""
        folder.mkdir()
        for name, image in self._images.items():
            Image.fromarray(np.asarray(image)).save(folder / name)

    def _open(self, file: Path) -> Image.Image:
        image = open_rgb(file)
        if image.size != self.size:
            one, other = ("x".join(map(str, size)) for size in (image.size, self.size))
            raise DataError(f"'{file}' is {one} pixels, others are {other}; all images need one size")
        return image

    def _file(self, picture: Picture) -> Path:
        scene = self.scenes[picture.scene]
        if picture.by in (ORIGINAL, CORRUPTED):
            return scene.original
        drawn = scene.pictures[picture.by]
        return drawn[picture.draw % len(drawn)]


def corrupted(image: Image.Image, *, seed: int) -> Image.Image:
    """The picture with its blocks shuffled: anybody sees that something is wrong with it."""
    pixels = np.asarray(image).copy()
    height, width = (side // _BLOCKS for side in pixels.shape[:2])
    if not height or not width:
        raise DataError(f"images of {image.width}x{image.height} pixels are too small; 8x8 is the least")
    places = [(y * height, x * width) for y in range(_BLOCKS) for x in range(_BLOCKS)]
    source = pixels.copy()
    for (y, x), (v, u) in zip(places, np.random.default_rng(seed).permutation(places), strict=True):
        pixels[y : y + height, x : x + width] = source[v : v + height, u : u + width]
    return Image.fromarray(pixels)
