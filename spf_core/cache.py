"""Encodes the rows of a training folder once: latents, texts and, if asked for, image embeddings."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spf_core.data import Row, load_image, load_mask, refuse_maskless
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
    target: Conditioning | None = None
    mask_N1HW: Tensor | None = None
    released_NL: Tensor | None = None
    class_NCHW: Tensor | None = None

    def batch(self, rows: Sequence[int]) -> Batch:
        """Gather some rows."""
        chosen = torch.as_tensor(rows, device=self.latents_NCHW.device)
        return Batch(
            ids=tuple(self.ids[row] for row in rows),
            prompts=tuple(self.prompts[row] for row in rows),
            latents_BCHW=self.latents_NCHW[chosen],
            rows=chosen,
            complete=index(self.complete, chosen),
            base=index(self.base, chosen),
            empty=self.empty,
            image_embeds_BD=_chosen(self.image_embeds_ND, chosen),
            without_BCHW=_chosen(self.without_NCHW, chosen),
            region_B1HW=_chosen(self.region_N1HW, chosen),
            target=None if self.target is None else index(self.target, chosen),
            mask_B1HW=_chosen(self.mask_N1HW, chosen),
            released_BL=_chosen(self.released_NL, chosen),
            class_BCHW=_chosen(self.class_NCHW, chosen),
        )


def _chosen(values: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if values is None else values[rows]


def encode_rows(
    backbone: Backbone, rows: Sequence[Row], *, needs: Collection[str] = (), progress: Progress = silent
) -> CachedRows:
    """Encode every text, and every image once; of `needs` those that the data alone can meet.

    DataError names an image whose latents are not finite, or the first row that lacks a mask it needs.
    """
    if "masks" in needs:
        refuse_maskless(rows)
    latents, embeds = [], []
    images = list({row.image: row for row in rows}.values())
    place = {row.image: number for number, row in enumerate(images)}
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        pixels = to_pixels(load_image(row, backbone.image_size) for row in chunk).to(backbone.device)
        latents.append(_finite(backbone.encode_images(pixels), chunk))
        if "clean_image" in needs:
            with torch.no_grad():
                embeds.append(backbone.embed_images(pixels))
        progress("encoding images", min(start + CHUNK, len(images)), len(images))
    shown = torch.tensor([place[row.image] for row in rows], device=backbone.device)
    prompts = tuple(row.prompt for row in rows)
    _warn_of_truncation(backbone, prompts)
    empty = backbone.encode_prompts([Prompt("")], with_target=False)
    complete = backbone.encode_prompts(prompts, with_target=True)
    latents_NCHW = torch.cat(latents)
    return CachedRows(
        ids=tuple(row.image.name for row in rows),
        prompts=prompts,
        latents_NCHW=latents_NCHW[shown],
        complete=complete,
        base=backbone.encode_prompts(prompts, with_target=False),
        empty=widen(empty, complete.phrase_BPL.shape[1]),
        image_embeds_ND=torch.cat(embeds)[shown] if embeds else None,
        image_N=shown,
        target=_targets_alone(backbone, prompts) if "target_text" in needs else None,
        mask_N1HW=_masks(images, latents_NCHW)[shown] if "masks" in needs else None,
    )


def _targets_alone(backbone: Backbone, prompts: Sequence[Prompt]) -> Conditioning:
    return backbone.encode_prompts(
        [Prompt(prompt.target_text or "") for prompt in prompts], with_target=False
    )


def _masks(rows: Sequence[Row], latents_NCHW: Tensor) -> Tensor:
    """The rows' masks at latent resolution, N 1 H W in [0, 1]."""
    height, width = latents_NCHW.shape[-2:]
    masks = torch.from_numpy(np.stack([load_mask(row, max(height, width)) for row in rows]))
    return masks[:, None].to(latents_NCHW)


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
