"""Sampling by seed, grids and PNG files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spf_core.config import SampleSection
from spf_core.errors import RunError
from spf_core.sampling import comparison_grid, initial_noise, sample_images, save_png
from spf_plugins.backbones.stable_diffusion import StableDiffusion

OPTIONS = SampleSection(steps=3, batch_size=2)
TEXT = "a portrait of an old man"


def largest_difference(first: Image.Image, second: Image.Image) -> int:
    return int(np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int)).max())


def test_each_pair_of_text_and_seed_gives_an_image(tiny_backbone: StableDiffusion) -> None:
    heard: list[tuple[str, int, int]] = []
    images = sample_images(
        tiny_backbone,
        [TEXT, TEXT, "red hair"],
        [1, 2, 3],
        OPTIONS,
        progress=lambda stage, done, total, **values: heard.append((stage, done, total)),
    )
    assert [image.size for image in images] == [(32, 32)] * 3
    assert heard == [("sampling", 2, 3), ("sampling", 3, 3)]


def test_images_are_those_of_the_diffusers_pipeline(tiny_backbone: StableDiffusion) -> None:
    ours = sample_images(tiny_backbone, [TEXT, "red hair"], [5, 6], OPTIONS)
    theirs = tiny_backbone.pipeline()(
        [TEXT, "red hair"],
        latents=initial_noise([5, 6], (4, 8, 8)),
        num_inference_steps=OPTIONS.steps,
        guidance_scale=OPTIONS.guidance,
    ).images
    assert max(largest_difference(a, b) for a, b in zip(ours, theirs, strict=True)) <= 1


def test_same_seeds_give_the_same_images(tiny_backbone: StableDiffusion) -> None:
    first = sample_images(tiny_backbone, [TEXT, "red hair"], [5, 6], OPTIONS)
    again = sample_images(tiny_backbone, [TEXT, "red hair"], [5, 6], OPTIONS)
    assert [largest_difference(a, b) for a, b in zip(first, again, strict=True)] == [0, 0]


def test_the_seed_decides_the_image_wherever_it_stands_in_the_batch(tiny_backbone: StableDiffusion) -> None:
    first, other = sample_images(tiny_backbone, [TEXT, TEXT], [5, 6], OPTIONS)
    swapped = sample_images(tiny_backbone, [TEXT, TEXT], [6, 5], OPTIONS)[1]
    alone = sample_images(tiny_backbone, [TEXT], [5], OPTIONS)[0]
    assert largest_difference(first, swapped) <= 1
    assert largest_difference(first, alone) <= 1
    assert largest_difference(first, other) > 10


def test_grid_holds_the_images_in_labelled_rows() -> None:
    red, blue = Image.new("RGB", (64, 64), "#ff0000"), Image.new("RGB", (64, 64), "#0000ff")
    grid = comparison_grid({"original": [red, red], "tuned": [blue, blue]}, ["an old man", "red hair"])
    colours = {colour: count for count, colour in grid.getcolors(maxcolors=1 << 24) or []}
    assert colours[255, 0, 0] == colours[0, 0, 255] == 2 * 192 * 192
    assert grid.height > grid.width / 2 > 192


def test_long_captions_widen_no_column() -> None:
    image = Image.new("RGB", (64, 64))
    short = comparison_grid({"original": [image]}, ["hat"])
    long = comparison_grid({"original": [image]}, ["a portrait of an old man " * 8])
    assert long.width == short.width
    assert long.height > short.height


def test_png_carries_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "images" / "one.png"
    save_png(Image.new("RGB", (4, 4)), path, {"prompt": "naïve, old man", "seed": "5"})
    with Image.open(path) as image:
        image.load()
        assert image.info["prompt"] == "naïve, old man"
        assert image.info["seed"] == "5"
    assert [file.name for file in path.parent.iterdir()] == ["one.png"]


def test_unwritable_png_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot be written") as caught:
        save_png(Image.new("RGB", (4, 4)), tmp_path / "file" / "one.png", {})
    assert "\n" not in str(caught.value)
