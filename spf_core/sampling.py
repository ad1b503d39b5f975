"""Sampling with a backbone's pipeline, where the seed alone decides the initial noise; grids, PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import ImageDraw, ImageFont, PngImagePlugin
from PIL.Image import Image, Resampling
from PIL.Image import new as new_image
from torch import Tensor

from spf_core.config import SampleSection
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from spf_core.progress import Progress, silent
from spf_core.prompts import Prompt

_INK, _PAPER, _FAINT = "#111111", "#ffffff", "#555555"
_GAP = 6

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def initial_noise(seeds: Sequence[int], shape_CHW: tuple[int, int, int]) -> Tensor:
    """Standard normal latents (B, C, H, W), each drawn on the CPU by its own seed."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(shape_CHW, generator=generator) for generator in generators])


@torch.no_grad()
def sample_images(
    backbone: Backbone,
    texts: Sequence[str],
    seeds: Sequence[int],
    options: SampleSection,
    *,
    progress: Progress = silent,
    stage: str = "sampling",
) -> list[Image]:
    """Draw one image for each pair of text and seed.

    Batches are cut by `options.batch_size` alone, so equal seeds meet equal batches whatever the texts are.
    `progress` hears of `stage` after every batch.
    """
    pairs = list(zip(texts, seeds, strict=True))
    images: list[Image] = []
    for start in range(0, len(pairs), options.batch_size):
        batch = pairs[start : start + options.batch_size]
        images += _sample_batch(backbone, [text for text, _ in batch], [seed for _, seed in batch], options)
        progress(stage, len(images), len(pairs))
    return images


def _sample_batch(
    backbone: Backbone, texts: list[str], seeds: list[int], options: SampleSection
) -> list[Image]:
    pipeline = backbone.pipeline()
    prompts = [Prompt(text) for text in (*texts, "")]
    *embeds, empty_LD = backbone.encode_prompts(prompts, with_target=False).embeds_BLD
    latent_size = backbone.image_size // pipeline.vae_scale_factor
    output: Any = pipeline(
        prompt_embeds=torch.stack(embeds),
        negative_prompt_embeds=empty_LD.expand(len(texts), -1, -1),
        height=backbone.image_size,
        width=backbone.image_size,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        latents=initial_noise(seeds, (pipeline.unet.config.in_channels, latent_size, latent_size)),
    )
    images: list[Image] = output.images
    return images


def save_png(image: Image, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a PNG atomically, with `metadata` as text chunks; RunError when the place cannot be written."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        chunks.add_itxt(key, value)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary, format="PNG", pnginfo=chunks)
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"'{path}' cannot be written ({error.strerror}); choose another place") from None


def comparison_grid(
    rows: Mapping[str, Sequence[Image]], captions: Sequence[str], scale: int | None = None
) -> Image:
    """Draw one row of images per label under wrapped captions; small images are enlarged to about 192 pixels.

    All images have one size, and each row has as many as there are captions. `scale` fixes the enlargement.
    """
    first = next(iter(rows.values()))[0]
    factor = scale or max(1, 192 // first.width)
    width, height = first.width * factor, first.height * factor
    font = ImageFont.load_default(size=max(12, min(28, width // 12)))
    headings = [_wrap(caption, font, width) for caption in captions]
    left = max(_size(label, font)[0] for label in rows) + 2 * _GAP
    top = max(_size(heading, font)[1] for heading in headings) + 2 * _GAP
    page = left + len(captions) * (width + _GAP), top + len(rows) * (height + _GAP)
    canvas = new_image("RGB", page, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, heading in enumerate(headings):
        draw.multiline_text((left + column * (width + _GAP), _GAP), heading, fill=_FAINT, font=font)
    for row, (label, images) in enumerate(rows.items()):
        y = top + row * (height + _GAP)
        draw.text((_GAP, y + height // 2), label, fill=_INK, font=font, anchor="lm")
        for column, (image, _caption) in enumerate(zip(images, captions, strict=True)):
            canvas.paste(_resized(image, width, height), (left + column * (width + _GAP), y))
    return canvas


def _resized(image: Image, width: int, height: int) -> Image:
    return image.convert("RGB").resize((width, height), Resampling.LANCZOS)


def _wrap(text: str, font: Font, width: int) -> str:
    """Break `text` between words into lines no wider than `width` pixels, where the words allow it."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _size(text: str, font: Font) -> tuple[int, int]:
    """Width and height in pixels of a text of one or more lines."""
    box = ImageDraw.Draw(new_image("RGB", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    return round(box[2]), round(box[3])
