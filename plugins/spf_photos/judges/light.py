"""Judges that need nothing but the base model: its own CLIP, its VAE and its attention."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces import Adapter, Backbone
from spf_lab.metrics.networks.judge import BATCH, pixels
from spf_photos.judges import Case, Judges
from spf_photos.judges.answers import Remembered
from spf_photos.judges.attention import LEVELS, AttentionRegion, encoded
from spf_photos.judges.contrast import Attributes, Clip
from spf_photos.judges.target import target_judge

FEW = 4  # pictures whose attention is in memory at once
GRID = 16  # patches on a side of a picture, of 2 x 2 latents or more
SCALE = 100.0  # what OpenAI's CLIPs multiply cosines by, where a model does not say
OWN = "the backbone's own CLIP"


def judges(case: Case) -> Judges:
    """Target and attributes by the backbone's own CLIP, structure by its VAE, region by its attention."""
    backbone = case.backbone
    clip = own_clip(backbone, case.adapter)
    of_target = target_judge(clip, case.target, case.positives, case.negatives)
    side = backbone.image_size
    return Judges(
        target=of_target.ask,
        calibrated=of_target.calibrated,
        note=of_target.note,
        attributes=Attributes(clip),
        features=Remembered(lambda images: latent_patches(backbone, images), BATCH),
        identity=None,
        parts=None,
        region=region_by_attention(case),
        region_parts=frozenset({1}),
        allowed_parts=frozenset(),
        grid=backbone.latent_shape(side, side)[1:],
        provenance=provenance(backbone),
    )


def own_clip(backbone: Backbone, adapter: Adapter) -> Clip:
    """The backbone's CLIP."""

    @torch.no_grad()
    def look(images: Sequence[Image]) -> Tensor:
        with adapter.disabled():
            return backbone.embed_images(2 * pixels(images).to(backbone.device) - 1).float().cpu()

    def read(texts: Sequence[str]) -> Tensor:
        with adapter.disabled():
            return backbone.embed_texts(texts).float().cpu()

    model: Any = getattr(backbone, "clip", None)
    scale = float(model.logit_scale.exp()) if hasattr(model, "logit_scale") else SCALE
    return Clip(Remembered(look, BATCH), read, scale)


def latent_patches(backbone: Backbone, images: Sequence[Image]) -> Tensor:
    """Latents in patches that touch, N D h w, less each channel's mean over the picture.

    Without that mean, patches of a bright picture and of a dark one would differ, and all others agree.
    """
    latents_BCHW = encoded(backbone, images)
    centred = latents_BCHW - latents_BCHW.mean(dim=(2, 3), keepdim=True)
    side = patch_side(backbone)
    height, width = (size // side for size in centred.shape[-2:])
    patches_BDL = F.unfold(centred, side, stride=side).float().cpu()
    return patches_BDL.reshape(*patches_BDL.shape[:2], height, width)


def patch_side(backbone: Backbone) -> int:
    """Latents on a side of a patch: 4 at Stable Diffusion 1.5's size, and 8 at SDXL's."""
    return max(2, backbone.latent_shape(backbone.image_size, backbone.image_size)[1] // GRID)


def region_by_attention(case: Case) -> Remembered | None:
    """The region's judge; a style asks for none."""
    if case.allowance.scope == "global":
        return None
    return Remembered(AttentionRegion(case.backbone, case.adapter, case.target), FEW)


def provenance(backbone: Backbone) -> dict[str, Any]:
    """The base model's fingerprint, and what is read of it."""
    own = backbone.fingerprint()
    return {
        "target": {"model": OWN, "fingerprint": own},
        "attributes": {"model": OWN, "fingerprint": own},
        "structure": {"model": "the backbone's own VAE", "fingerprint": own, "patch": patch_side(backbone)},
        "region": attention_provenance(backbone),
    }


def attention_provenance(backbone: Backbone) -> dict[str, Any]:
    """What found the region."""
    levels = list(LEVELS)
    return {"model": "the base model's attention", "fingerprint": backbone.fingerprint(), "levels": levels}
