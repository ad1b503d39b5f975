"""How alike the tuned model's pictures with the target (C) are to the original's without it (A)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from torch import Tensor

from spf_core.errors import Unavailable
from spf_core.interfaces import Backbone, Column, Quadruples, Suite
from spf_lab.metrics.formulas import cosine_distance, masked_mean, part_agreement
from spf_lab.metrics.networks.faces import FaceEmbedder
from spf_lab.metrics.networks.judge import BATCH, ImageJudge, pixels
from spf_lab.metrics.networks.lpips import Lpips
from spf_lab.metrics.scores.features import frechet_distance, paired_kid, squared_displacement

SMALL_SET = 1000
Pairs = Callable[[Quadruples, Suite, Backbone], tuple[Tensor, Tensor, dict[int, str]]]


def judged_alike(judge: ImageJudge) -> Pairs:
    """What `judge` says of A and of C."""

    def both(quads: Quadruples, suite: Suite, backbone: Backbone) -> tuple[Tensor, Tensor, dict[int, str]]:
        return judge(quads.a, suite, backbone), judge(quads.c, suite, backbone), {}

    return both


def faces_of(embedder: FaceEmbedder) -> Pairs:
    """Embeddings of the faces in A and C."""

    def both(quads: Quadruples, suite: Suite, backbone: Backbone) -> tuple[Tensor, Tensor, dict[int, str]]:
        return embedder(quads.a, quads.c, suite, backbone)

    return both


class Cosine:
    """1 - the cosine distance of embeddings."""

    def __init__(
        self, pairs: Pairs, meaning: str, provenance: Mapping[str, Any], *, identity: bool = False
    ) -> None:
        self.pairs, self.meaning, self.provenance, self.identity = pairs, meaning, provenance, identity

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """One cosine for each pair; an identity is not compared where the target alters it."""
        if self.identity:
            refuse_changed_identity(suite, quads.target)
        first, second, failed = self.pairs(quads, suite, backbone)
        columns = {
            "": Column(self.meaning, "higher", 1 - cosine_distance(first, second, dim=-1), failed=failed)
        }
        if failed:
            found = torch.tensor([float(place not in failed) for place in range(len(first))])
            columns["found"] = Column("share of pairs with a face in both pictures", "higher", found)
            zeros = torch.where(found > 0, 1 - cosine_distance(first, second, dim=-1), 0.0)
            columns["or-0"] = Column(f"{self.meaning}, 0 without a face", "higher", zeros)
        return columns


class FeatureDistance:
    """Frechet distance, paired KID and displacement of features."""

    def __init__(self, pairs: Pairs, what: str, provenance: Mapping[str, Any]) -> None:
        self.pairs, self.what, self.provenance = pairs, what, provenance

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Statistics of the set; the displacement also has a value for each pair."""
        first, second, failed = self.pairs(quads, suite, backbone)
        note = f"{len(first)} pairs: compare at equal number only" if len(first) < SMALL_SET else ""
        return {
            "": Column(
                f"Frechet distance of {self.what}",
                "lower",
                statistic=lambda places: frechet_distance(first[places], second[places]),
                failed=failed,
                note=note,
            ),
            "kid": Column(
                f"paired-U KID of {self.what}",
                "lower",
                statistic=lambda places: paired_kid(first[places], second[places]),
                failed=failed,
            ),
            "displacement": Column(
                f"root mean square distance of a pair's {self.what}",
                "lower",
                squared_displacement(first, second),
                root=True,
                failed=failed,
            ),
        }


class SegmentationConsistency:
    """Mean intersection over union of parts, in percent: everywhere, and outside the target's region."""

    def __init__(
        self,
        parts: ImageJudge,
        allowed: Callable[[Suite, str], frozenset[int]],
        by: str,
        provenance: Mapping[str, Any],
    ) -> None:
        self.parts, self.allowed, self.by, self.provenance = parts, allowed, by, provenance

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Two numbers for each pair."""
        first, second = self.parts(quads.a, suite, backbone), self.parts(quads.c, suite, backbone)
        kept = suite.region(quads.a, quads.c, quads.target).layout_NHW[:, None].float()
        outside = F.interpolate(kept, first.shape[-2:], mode="nearest")[:, 0] > 0.5
        everywhere = part_agreement(first, second, torch.ones_like(outside), frozenset())
        inside_left_out = part_agreement(first, second, outside, self.allowed(suite, quads.target))
        return {
            "": Column(f"mean IoU of parts, %, by {self.by}", "higher", 100 * everywhere),
            "out": Column(
                f"the same outside the target's region, by {self.by}", "higher", 100 * inside_left_out
            ),
        }


class LpipsScore:
    """LPIPS of whole pictures, and the mean of its map outside the target's region."""

    def __init__(self, network: Lpips, size: int, provenance: Mapping[str, Any]) -> None:
        self.network, self.size, self.provenance = network, size, provenance

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Two numbers for each pair."""
        whole, maps = [], []
        self.network.to(backbone.device)
        for start in range(0, len(quads.a), BATCH):
            a, c = (self._pixels(images[start : start + BATCH], backbone) for images in (quads.a, quads.c))
            whole.append(
                torch.stack([layer.mean(dim=(1, 2, 3)) for layer in self.network.layers(a, c)]).sum(dim=0)
            )
            maps.append(self.network(a, c))
        kept = suite.region(quads.a, quads.c, quads.target).outside_NHW[:, None].float()
        outside = F.interpolate(kept, (self.size, self.size), mode="nearest")[:, 0] > 0.5
        return {
            "": Column("perceptual distance", "lower", torch.cat(whole).cpu()),
            "out": Column(
                "the same outside the target's region", "lower", masked_mean(torch.cat(maps).cpu(), outside)
            ),
        }

    def _pixels(self, images: Any, backbone: Backbone) -> Tensor:
        return 2 * pixels(images, self.size, Resampling.BICUBIC).to(backbone.device) - 1


def refuse_changed_identity(suite: Suite, target: str) -> None:
    """Unavailable where comparing identities says nothing."""
    if suite.changes_identity(target):
        raise Unavailable(f"the target '{target}' alters what makes up the identity")
