"""Sampling by seed, grids and PNG files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spf_core.config.sections import SampleSection
from spf_core.errors import RunError
from spf_core.sampling.sampler import BeforeHandover, comparison_grid, initial_noise, sample_images, save_png
from spf_core.utils.prompts import Prompt
from spf_plugins.adapters import LoraAdapter
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


def test_mixed_precision_draws_nearly_the_same_images(tiny_backbone: StableDiffusion) -> None:
    texts, seeds = [TEXT, "red hair"], [5, 6]
    full = sample_images(tiny_backbone, texts, seeds, OPTIONS)
    mixed = sample_images(tiny_backbone, texts, seeds, OPTIONS.model_copy(update={"precision": "bf16"}))
    differences = [largest_difference(a, b) for a, b in zip(full, mixed, strict=True)]
    assert 0 < max(differences) < 40
    assert not torch.is_autocast_enabled("cpu")


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


def lora_that_changes_something(backbone: StableDiffusion):
    lora = LoraAdapter().build()
    lora.attach(backbone)
    generator = torch.Generator().manual_seed(0)
    for parameter in lora.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return lora


def draw_by_hand(
    backbone: StableDiffusion, lora, base: str, complete: str, boundary: float, against: str = ""
) -> torch.Tensor:
    """The definition: theta_0 reads the base text while t >= boundary, theta the complete text below.

    Guidance leads away from no text, and below the boundary from `against`.
    """
    scheduler, z_t = backbone.pipeline().scheduler, initial_noise([5], (4, 8, 8))
    scheduler.set_timesteps(OPTIONS.steps)
    for t in scheduler.timesteps:
        early = int(t) >= boundary
        lora.scale(0.0 if early else 1.0)
        texts = [Prompt(base if early else complete), Prompt("" if early else against)]
        conditioning = backbone.encode_prompts(texts, with_target=False)
        with torch.no_grad():
            eps, free = backbone.predict(z_t.repeat(2, 1, 1, 1), t.repeat(2), conditioning).pred_BCHW
        z_t = scheduler.step(free + OPTIONS.guidance * (eps - free), t, z_t).prev_sample
    lora.scale(1.0)
    with torch.no_grad():
        return backbone.decode(z_t)[0]


@pytest.mark.parametrize("handover", [0.9, 0.5, 0.2])
def test_the_original_opens_and_the_tuned_model_takes_over(
    tiny_backbone: StableDiffusion, handover: float
) -> None:
    lora = lora_that_changes_something(tiny_backbone)
    options = OPTIONS.model_copy(update={"handover": handover})
    complete = f"{TEXT}, red hair"
    image = sample_images(
        tiny_backbone, [complete], [5], options, before_handover=BeforeHandover([TEXT], lora)
    )[0]
    pixels = draw_by_hand(tiny_backbone, lora, TEXT, complete, handover * 1000)
    by_hand = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert largest_difference(image, Image.fromarray(by_hand)) <= 1


def test_guidance_can_lead_away_from_the_target_alone(tiny_backbone: StableDiffusion) -> None:
    lora = lora_that_changes_something(tiny_backbone)
    options = OPTIONS.model_copy(update={"handover": 0.5, "negative": "target"})
    complete, before_handover = f"{TEXT}, red hair", BeforeHandover([TEXT, TEXT], lora)
    target, base = sample_images(
        tiny_backbone, [complete, TEXT], [5, 5], options, before_handover=before_handover
    )
    pixels = draw_by_hand(tiny_backbone, lora, TEXT, complete, 500, against="red hair")
    by_hand = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    assert largest_difference(target, Image.fromarray(by_hand)) <= 1
    plain = options.model_copy(update={"negative": "empty"})
    away, same = sample_images(
        tiny_backbone, [complete, TEXT], [5, 5], plain, before_handover=before_handover
    )
    assert largest_difference(target, away) > 1
    assert largest_difference(base, same) == 0, "a text without the target is led away from no text"


def test_a_handover_that_never_comes_leaves_the_original(tiny_backbone: StableDiffusion) -> None:
    original = sample_images(tiny_backbone, [TEXT], [5], OPTIONS)[0]
    lora = lora_that_changes_something(tiny_backbone)
    never = OPTIONS.model_copy(update={"handover": 1e-3})
    opened = sample_images(
        tiny_backbone, ["red hair"], [5], never, before_handover=BeforeHandover([TEXT], lora)
    )[0]
    tuned = sample_images(tiny_backbone, [TEXT], [5], OPTIONS)[0]
    assert largest_difference(opened, original) == 0
    assert largest_difference(tuned, original) > 10, "the adapter is on again, and changes something"


def test_without_guidance_the_handover_exchanges_the_text_alone(tiny_backbone: StableDiffusion) -> None:
    lora = lora_that_changes_something(tiny_backbone)
    options = OPTIONS.model_copy(update={"guidance": 1.0, "handover": 0.5})
    before_handover = BeforeHandover([TEXT], lora)
    with_target = sample_images(tiny_backbone, ["red hair"], [5], options, before_handover=before_handover)[0]
    without = sample_images(tiny_backbone, [TEXT], [5], options, before_handover=before_handover)[0]
    assert largest_difference(with_target, without) > 0


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
