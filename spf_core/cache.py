"""Encodes the rows of a training folder once: latents, texts and, if asked for, image embeddings."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spf_core.data import Row, load_image
from spf_core.errors import DataError
from spf_core.interfaces import Backbone
from spf_core.progress import Progress, silent
from spf_core.prompts import Prompt
from spf_core.types import Batch, Conditioning, index

CHUNK = 16
_log = logging.getLogger("spf")


@dataclass(frozen=True)
class CachedRows:
    """All rows of a training folder, encoded."""

    ids: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    latents_NCHW: Tensor
    complete: Conditioning
    base: Conditioning
    empty: Conditioning
    image_embeds_ND: Tensor | None
    image_N: Tensor  # number of the image that a row shows; its wordings share it
    without_NCHW: Tensor | None = None
    region_N1HW: Tensor | None = None

    def batch(self, rows: Sequence[int]) -> Batch:
        """Gather some rows."""
        chosen = torch.as_tensor(rows, device=self.latents_NCHW.device)
        return Batch(
            ids=tuple(self.ids[row] for row in rows),
            latents_BCHW=self.latents_NCHW[chosen],
            rows=chosen,
            complete=index(self.complete, chosen),
            base=index(self.base, chosen),
            empty=self.empty,
            image_embeds_BD=_chosen(self.image_embeds_ND, chosen),
            without_BCHW=_chosen(self.without_NCHW, chosen),
            region_B1HW=_chosen(self.region_N1HW, chosen),
        )


def _chosen(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]


def encode_rows(
    backbone: Backbone, rows: Sequence[Row], *, clean_image: bool, progress: Progress = silent
) -> CachedRows:
    """Encode every text, and every image once; DataError names one whose latents are not finite."""
    latents, embeds = [], []
    images = list({row.image: row for row in rows}.values())
    place = {row.image: number for number, row in enumerate(images)}
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        pixels = to_pixels(load_image(row, backbone.image_size) for row in chunk).to(backbone.device)
        latents.append(_finite(backbone.encode_images(pixels), chunk))
        if clean_image:
            with torch.no_grad():
                embeds.append(backbone.embed_images(pixels))
        progress("encoding images", min(start + CHUNK, len(images)), len(images))
    shown = torch.tensor([place[row.image] for row in rows], device=backbone.device)
    prompts = tuple(Prompt(row.base_text, row.target_text, row.base_phrases) for row in rows)
    _warn_of_truncation(backbone, prompts)
    empty = backbone.encode_prompts([Prompt("")], with_target=False)
    complete = backbone.encode_prompts(prompts, with_target=True)
    return CachedRows(
        ids=tuple(row.image.name for row in rows),
        prompts=prompts,
        latents_NCHW=torch.cat(latents)[shown],
        complete=complete,
        base=backbone.encode_prompts(prompts, with_target=False),
        empty=widen(empty, complete.phrase_BPL.shape[1]),
        image_embeds_ND=torch.cat(embeds)[shown] if embeds else None,
        image_N=shown,
    )


def to_pixels(images: Iterable[np.ndarray]) -> Tensor:
    """Stack uint8 H W 3 images into B 3 H W floats in [-1, 1]."""
    stacked = torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2)
    return stacked.float() / 127.5 - 1


def widen(cond: Conditioning, phrases: int) -> Conditioning:
    """Give the empty text as many (all-zero) phrase rows as the others have."""

    def zeros(tensor: Tensor) -> Tensor:
        return tensor.new_zeros(tensor.shape[0], phrases, tensor.shape[2])

    changed = {"phrase_BPL": zeros(cond.phrase_BPL), "phrase_embeds_BPD": zeros(cond.phrase_embeds_BPD)}
    return Conditioning(**{**vars(cond), **changed})


def _warn_of_truncation(backbone: Backbone, prompts: Sequence[Prompt]) -> None:
    long = [prompt for prompt in prompts if backbone.token_count(prompt.complete_text) > backbone.max_tokens]
    if long:
        _log.warning(
            "%d of %d captions are longer than %d tokens; what lies beyond is not read, first: '%s'",
            *(len(long), len(prompts), backbone.max_tokens, long[0].complete_text),
        )


def _finite(latents: Tensor, rows: Sequence[Row]) -> Tensor:
    for row, latent in zip(rows, latents, strict=True):
        if not bool(torch.isfinite(latent).all()):
            raise DataError(f"the latents of '{row.image}' are not finite; run the VAE in full precision")
    return latents
