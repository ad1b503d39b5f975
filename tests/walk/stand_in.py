"""What the walk has in place of a user's photographs and of SDXL's published weights.

The models are tiny random ones of the same classes, and lie where the hub's client keeps its downloads.
So every command of the page runs as it is written, and no network is used.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from spf_core.testing.tiny_models import random_folder, tiny_xl_pipeline

SDXL, CLIP = "stabilityai/stable-diffusion-xl-base-1.0", "openai/clip-vit-large-patch14"
SUFFIXES = ("jpg", "png", "webp", "jpeg")
SIZES = ((1200, 900), (900, 1200), (1024, 1024), (1600, 900), (820, 1230))
PEOPLE = ("an old man", "a young woman", "a woman with red hair", "a young man", "a man with a beard")
PLACES = ("in the park", "at the window", "in front of a brick wall", "on a beach")
OTHER_WORDS = (7, 12)  # photographs whose captions have other words for the hat
SIDEWAYS = 6  # what EXIF calls an image that is to be turned by 90 degrees clockwise
COMMIT = "0" * 40


def write_photos(folder: Path) -> None:
    """Twenty pictures of people with hats: four suffixes, five sizes, some turned by EXIF."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(20):
        person, place = PEOPLE[number % 5], PLACES[number % 4]
        picture = _portrait(SIZES[number % len(SIZES)], random)
        file = folder / f"IMG_{4020 + number}.{SUFFIXES[number % 4]}"
        if number % 8 == 0:
            exif = Image.Exif()
            exif[0x0112] = SIDEWAYS
            picture.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif)
        else:
            picture.save(file)
        worn = "in a hat" if number in OTHER_WORDS else "wearing a hat"
        file.with_suffix(".txt").write_text(f"a photo of {person} {worn}, {place}\n", encoding="utf-8")


def _portrait(size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """A head with a hat before a soft background, with the grain of a photograph."""
    width, height = size
    corners = random.integers(40, 220, (2, 2, 3), dtype=np.uint8)
    picture = Image.fromarray(corners).resize(size, Image.Resampling.BICUBIC)
    draw, unit, centre = ImageDraw.Draw(picture), min(size) / 10, width / 2
    skin, hat, coat = (tuple(int(value) for value in random.integers(30, 230, 3)) for _ in range(3))
    draw.ellipse((centre - 4 * unit, height - 3 * unit, centre + 4 * unit, height + 5 * unit), fill=coat)
    draw.ellipse((centre - 2 * unit, height - 7 * unit, centre + 2 * unit, height - 2 * unit), fill=skin)
    draw.rectangle((centre - 2 * unit, height - 8 * unit, centre + 2 * unit, height - 6 * unit), fill=hat)
    draw.rectangle((centre - 3 * unit, height - 6.3 * unit, centre + 3 * unit, height - 5.8 * unit), fill=hat)
    grain = random.normal(0, 6, (height, width, 1))
    return Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))


def write_hub(folder: Path) -> None:
    """The cache of the hub's client (`HF_HUB_CACHE`): SDXL and the CLIP that measures for spf, both tiny."""
    pipeline = write_repository(folder, SDXL, tiny_xl_pipeline)
    clip = _snapshot(folder, CLIP)
    shutil.move(pipeline / "clip", clip)
    for file in (pipeline / "tokenizer").iterdir():
        shutil.copy(file, clip)


def write_repository(folder: Path, repository: str, pipeline: Callable[[Any, Any], Any]) -> Path:
    """A model in the cache of the hub's client; its folder."""
    return random_folder(pipeline, _snapshot(folder, repository))


def _snapshot(folder: Path, repository: str) -> Path:
    """Where the client would have put this repository; it does not exist yet."""
    place = folder / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    (place / "snapshots").mkdir()
    return place / "snapshots" / COMMIT
