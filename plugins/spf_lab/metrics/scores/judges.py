"""The suite's own judges and the backbone's own CLIP in the place of outside networks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from spf_core.interfaces import Backbone, Suite
from spf_lab.metrics.networks.clip import cut_note
from spf_lab.metrics.networks.judge import BATCH, Images, pixels


def suite_patches(images: Images, suite: Suite, backbone: Backbone) -> Tensor:
    """The suite's patch features, averaged over the patches, N D."""
    return suite.patch_features(images).mean(dim=(2, 3))


def suite_identity(images: Images, suite: Suite, backbone: Backbone) -> Tensor:
    """The suite's identity embeddings, N D."""
    return suite.identity(images)


def suite_parts(images: Images, suite: Suite, backbone: Backbone) -> Tensor:
    """The suite's part numbers, N H W."""
    return suite.segment(images)


def suite_allowed(suite: Suite, target: str) -> frozenset[int]:
    """Parts that the target may change."""
    return suite.allowed_parts(target)


def backbone_images(images: Images, suite: Suite, backbone: Backbone) -> Tensor:
    """E_I of the backbone's own CLIP, N D."""
    parts = [pixels(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return torch.cat([backbone.embed_images(2 * part.to(backbone.device) - 1) for part in parts]).cpu()


def backbone_texts(texts: Sequence[str], suite: Suite, backbone: Backbone) -> Tensor:
    """E_T of the backbone's own CLIP, N D."""
    return backbone.embed_texts(texts).cpu()


def backbone_truncated(texts: Sequence[str], backbone: Backbone) -> str:
    """A note on the texts that lose their end, or nothing."""
    return cut_note([backbone.token_count(text) for text in texts], backbone.max_tokens)
