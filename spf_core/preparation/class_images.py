"""Class images: what the original model itself draws for the base texts (prior preservation)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL.Image import Image

from spf_core.config.sections import SampleSection
from spf_core.interfaces import Backbone
from spf_core.preparation.encoding import CHUNK, CachedRows
from spf_core.runs.cache import cached
from spf_core.sampling.sampler import sample_images
from spf_core.utils.pixels import to_pixels
from spf_core.utils.progress import Progress, silent


@torch.no_grad()
def with_class_images(
    backbone: Backbone, rows: CachedRows, sample: SampleSection, *, seed: int, progress: Progress = silent
) -> CachedRows:
    """Rows with latents of one picture each, drawn by theta_0 (before any training) from the base text.

    DreamBooth's class images (Ruiz et al. 2023), with the row's base text for the class. They are kept on
    disk for other runs of the same texts, model and seed.
    """
    seeds = [seed + row for row in range(len(rows.ids))]
    texts = [prompt.base_text for prompt in rows.prompts]

    size = _size(backbone, rows)

    def draw() -> dict[str, torch.Tensor]:
        images = sample_images(
            backbone, texts, seeds, sample, size=size, progress=progress, stage="class images"
        )
        return {"latents": _encoded(backbone, images)}

    made_of = {"seed": seed, **sample.model_dump(include={"steps", "guidance", "batch_size", "precision"})}
    made_of |= {"size": size} if size else {}
    found = cached("class_images", backbone, made_of, {"base": rows.base.embeds_BLD}, draw)
    return replace(rows, class_NCHW=found["latents"])


def _size(backbone: Backbone, rows: CachedRows) -> tuple[int, int] | None:
    """Width and height of the rows' pictures; None for the model's own."""
    factor = backbone.pipeline().vae_scale_factor
    height, width = (side * factor for side in rows.latents_NCHW.shape[-2:])
    return None if height == width == backbone.image_size else (width, height)


def _encoded(backbone: Backbone, images: Sequence[Image]) -> torch.Tensor:
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    arrays = [to_pixels(np.asarray(image.convert("RGB")) for image in part) for part in parts]
    return torch.cat([backbone.encode_images(pixels.to(backbone.device)) for pixels in arrays])
