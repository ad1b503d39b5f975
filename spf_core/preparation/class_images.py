"""Class images: what the original model itself draws for the base texts (prior preservation)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

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
    disk for other runs of the same texts, model and seed: a few at a time, so that who stops loses little.
    """
    count, batch, size = len(rows.ids), sample.batch_size, _size(backbone, rows)
    texts = [prompt.base_text for prompt in rows.prompts]
    seeds = [seed + row for row in range(count)]

    @lru_cache(maxsize=2)  # a batch may reach into the next part
    def drawn(start: int) -> list[Image]:
        some = slice(start, start + batch)
        return sample_images(backbone, texts[some], seeds[some], sample, size=size)

    made_of = {"seed": seed, **sample.model_dump(include={"steps", "guidance", "batch_size", "precision"})}
    made_of |= {"size": size} if size else {}
    found = []
    progress("class images", 0, count)
    for begin in range(0, count, CHUNK):
        end = min(begin + CHUNK, count)
        # Of all texts of the batches that are drawn for these rows, as a batch decides on the last bits.
        first, last = begin // batch * batch, -(-end // batch) * batch
        part = {
            "base": rows.base.embeds_BLD[first:last],
            "rows": torch.arange(begin, end),
        }

        def draw(begin: int = begin, end: int = end) -> dict[str, Tensor]:
            images = [drawn(row // batch * batch)[row % batch] for row in range(begin, end)]
            return {"latents": _encoded(backbone, images)}

        found.append(cached("class_images", backbone, made_of, part, draw)["latents"])
        progress("class images", end, count)
    return replace(rows, class_NCHW=torch.cat(found))


def _size(backbone: Backbone, rows: CachedRows) -> tuple[int, int] | None:
    """Width and height of the rows' pictures; None for the model's own."""
    factor = backbone.pipeline().vae_scale_factor
    height, width = (side * factor for side in rows.latents_NCHW.shape[-2:])
    return None if height == width == backbone.image_size else (width, height)


def _encoded(backbone: Backbone, images: Sequence[Image]) -> Tensor:
    pixels = to_pixels(np.asarray(image.convert("RGB")) for image in images)
    return backbone.encode_images(pixels.to(backbone.device))
