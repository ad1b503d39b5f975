"""Sampling with a backbone's pipeline: the seed alone decides the initial noise."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import PngImagePlugin
from PIL.Image import Image
from torch import Tensor

from spf_core.config import SampleSection
from spf_core.interfaces import Backbone
from spf_core.progress import Progress, silent


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
    latent_size = backbone.image_size // pipeline.vae_scale_factor
    output: Any = pipeline(
        prompt=texts,
        height=backbone.image_size,
        width=backbone.image_size,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        latents=initial_noise(seeds, (pipeline.unet.config.in_channels, latent_size, latent_size)),
    )
    images: list[Image] = output.images
    return images


def save_png(image: Image, path: Path, metadata: Mapping[str, str]) -> None:
    """Write a PNG atomically, with `metadata` as text chunks."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        chunks.add_itxt(key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    image.save(temporary, format="PNG", pnginfo=chunks)
    os.replace(temporary, path)
