"""Encodes the rows of a training folder once: latents, texts and, where needed, image embeddings."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from spf_core.data import Row, load_image, load_mask, refuse_maskless, time_sizes
from spf_core.errors import DataError
from spf_core.interfaces import Backbone
from spf_core.interfaces.types import Batch, Conditioning, index
from spf_core.plugins.outside_weights import sha256
from spf_core.runs.cache import cached
from spf_core.utils.pixels import to_pixels
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt

CHUNK = 16
_log = logging.getLogger("spf")


@dataclass(frozen=True)
class CachedRows:
    """All rows of a training folder, encoded. `repeats`: how often an epoch reads each row; () is once."""

    ids: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    latents_NCHW: Tensor
    complete: Conditioning
    base: Conditioning
    empty: Conditioning
    image_embeds_ND: Tensor | None
    images: tuple[int, ...]  # number of the picture that a row shows; its wordings share it
    without_NCHW: Tensor | None = None
    region_N1HW: Tensor | None = None
    target: Conditioning | None = None
    mask_N1HW: Tensor | None = None
    released_NL: Tensor | None = None
    class_NCHW: Tensor | None = None
    repeats: tuple[int, ...] = ()

    @property
    def buckets(self) -> list[list[int]]:
        """One bucket: all row numbers, each as often as an epoch reads it."""
        times = self.repeats or [1] * len(self.ids)
        return [[row for row, count in enumerate(times) for _ in range(count)]]

    def first(self, count: int) -> list[int]:
        """Up to `count` rows that fit in one batch."""
        return list(range(min(count, len(self.ids))))

    def some(self, rows: Sequence[int]) -> "CachedRows":
        """These rows alone."""
        chosen = torch.as_tensor(rows, device=self.latents_NCHW.device)
        return CachedRows(
            ids=tuple(self.ids[row] for row in rows),
            prompts=tuple(self.prompts[row] for row in rows),
            latents_NCHW=self.latents_NCHW[chosen],
            complete=index(self.complete, chosen),
            base=index(self.base, chosen),
            empty=self.empty,
            image_embeds_ND=_chosen(self.image_embeds_ND, chosen),
            images=tuple(self.images[row] for row in rows),
        )

    def with_pictures_of(self, some: "CachedRows", place_N: Tensor) -> "CachedRows":
        """The rows with the pictures that were drawn for `some` of them: row n has those of `place_N[n]`."""
        return replace(
            self,
            latents_NCHW=some.latents_NCHW[place_N],
            image_embeds_ND=_chosen(some.image_embeds_ND, place_N),
            without_NCHW=_chosen(some.without_NCHW, place_N),
            region_N1HW=_chosen(some.region_N1HW, place_N),
            class_NCHW=_chosen(some.class_NCHW, place_N),
        )

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
    backbone: Backbone,
    rows: Sequence[Row],
    *,
    needs: Collection[str] = (),
    keep: bool = False,
    progress: Progress = silent,
) -> CachedRows:
    """Encode every text, and every picture once; of `needs` those that the data alone can meet.

    The rows' pictures have one size. With `keep` what is encoded is kept on disk, by the content of the files
    and texts. DataError names an image whose latents are not finite, or the first row that lacks a mask it
    needs.
    """
    if "masks" in needs:
        refuse_maskless(rows)
    pictures = list({(row.image, row.view): row for row in rows}.values())
    place = {(row.image, row.view): number for number, row in enumerate(pictures)}
    found = []
    progress("encoding images", 0, len(pictures))
    for start in range(0, len(pictures), CHUNK):
        found.append(_pictures(backbone, pictures[start : start + CHUNK], "clean_image" in needs, keep))
        progress("encoding images", min(start + CHUNK, len(pictures)), len(pictures))
    images = tuple(place[row.image, row.view] for row in rows)
    shown = torch.tensor(images, device=backbone.device)
    prompts = tuple(row.prompt for row in rows)
    _warn_of_truncation(backbone, prompts)
    empty = backbone.encode_prompts([Prompt("")], with_target=False)
    latents_NCHW = torch.cat([each["latents"] for each in found])
    embeds_ND = torch.cat([each["embeds"] for each in found]) if "clean_image" in needs else None
    texts = _Texts(backbone, rows, keep)
    complete = texts.encode(prompts, with_target=True)
    return CachedRows(
        ids=tuple(row.image.name for row in rows),
        prompts=prompts,
        latents_NCHW=latents_NCHW[shown],
        complete=complete,
        base=texts.encode(prompts, with_target=False),
        empty=widen(empty, complete.phrase_BPL.shape[1]),
        image_embeds_ND=_chosen(embeds_ND, shown),
        images=images,
        target=texts.encode(_targets_alone(prompts), with_target=False) if "target_text" in needs else None,
        mask_N1HW=_masks(pictures, backbone.image_size, latents_NCHW)[shown] if "masks" in needs else None,
        repeats=tuple(row.repeats for row in rows),
    )


def _pictures(backbone: Backbone, rows: Sequence[Row], embed: bool, keep: bool) -> dict[str, Tensor]:
    """Latents and, if asked for, image embeddings of some rows' pictures, encoded together."""

    def make() -> dict[str, Tensor]:
        pixels = to_pixels(load_image(row, backbone.image_size) for row in rows).to(backbone.device)
        found = {"latents": _finite(backbone.encode_images(pixels), rows)}
        if embed:
            with torch.no_grad():
                found["embeds"] = backbone.embed_images(pixels)
        return found

    if not keep:
        return make()
    # Of the whole chunk, so that what is read back is to the bit what encoding it again would give.
    shown = [[sha256(row.image), asdict(row.view)] for row in rows]
    return cached(
        "latents", backbone, {"shown": shown, "side": backbone.image_size, "embed": embed}, {}, make
    )


class _Texts:
    """Encodes the rows' texts; where the model reads sizes, those of the rows' pictures."""

    def __init__(self, backbone: Backbone, rows: Sequence[Row], keep: bool) -> None:
        self.backbone, self.rows, self.keep = backbone, rows, keep

    def encode(self, prompts: Sequence[Prompt], *, with_target: bool) -> Conditioning:
        def make() -> dict[str, Tensor]:
            return dict(vars(self.backbone.encode_prompts(prompts, with_target=with_target)))

        made_of = {"texts": [asdict(prompt) for prompt in prompts], "with_target": with_target}
        found = cached("texts", self.backbone, made_of, {}, make) if self.keep else make()
        return self._sized(Conditioning(**found))

    def _sized(self, cond: Conditioning) -> Conditioning:
        return replace(cond, sizes_B6=self._sizes.to(cond.sizes_B6)) if cond.sizes_B6.shape[1] else cond

    @cached_property
    def _sizes(self) -> Tensor:
        side = self.backbone.image_size
        sizes = {(row.image, row.view): time_sizes(row, side) for row in self.rows}
        return torch.tensor([sizes[row.image, row.view] for row in self.rows])


def _targets_alone(prompts: Sequence[Prompt]) -> list[Prompt]:
    return [Prompt(prompt.target_text or "") for prompt in prompts]


def _masks(rows: Sequence[Row], side: int, latents_NCHW: Tensor) -> Tensor:
    """The rows' masks at latent resolution, N 1 H W in [0, 1]."""
    height, width = latents_NCHW.shape[-2:]
    masks = torch.from_numpy(np.stack([load_mask(row, side, (width, height)) for row in rows]))
    return masks[:, None].to(latents_NCHW)


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
            "%d of %d captions exceed the %d tokens that the text encoder reads, first: '%s'",
            *(len(long), len(prompts), backbone.max_tokens, long[0].complete_text),
        )


def _finite(latents: Tensor, rows: Sequence[Row]) -> Tensor:
    for row, latent in zip(rows, latents, strict=True):
        if not bool(torch.isfinite(latent).all()):
            raise DataError(f"the latents of '{row.image}' are not finite; run the VAE in full precision")
    return latents
