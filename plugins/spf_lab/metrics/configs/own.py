"""Scores that need no outside weights: the formulas of the literature over the judges that are there."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spf_core.plugins import ScoreConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Score

SUITE, CLIP = "the suite's judge", "the backbone's own CLIP"


class SuiteFd(ScoreConfig):
    """Frechet distance, KID and displacement of features of the suite's judges; no FID."""

    name = "suite-fd"
    features: Literal["patches", "identity"] = Field("patches", description="which of the judges' features")

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores import judges
        from spf_lab.metrics.scores.preservation import FeatureDistance, judged_alike

        judge = judges.suite_patches if self.features == "patches" else judges.suite_identity
        facts = {"model": SUITE, "features": self.features}
        return FeatureDistance(judged_alike(judge), f"{self.features} by {SUITE}", facts)


class SuiteId(ScoreConfig):
    """Cosine of identities by the suite's identity judge."""

    name = "suite-id"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.judges import suite_identity
        from spf_lab.metrics.scores.preservation import Cosine, judged_alike

        meaning = f"cosine of identities by {SUITE}"
        return Cosine(judged_alike(suite_identity), meaning, {"model": SUITE}, identity=True)


class SuiteSegCons(ScoreConfig):
    """Segmentation consistency by the suite's part segmenter, whole and outside the target's region."""

    name = "suite-seg-cons"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.judges import suite_allowed, suite_parts
        from spf_lab.metrics.scores.preservation import SegmentationConsistency

        return SegmentationConsistency(suite_parts, suite_allowed, SUITE, {"model": SUITE})


class BackboneClipI(ScoreConfig):
    """CLIP-I with the backbone's own CLIP, which training may use: no independent judge."""

    name = "backbone-clip-i"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.judges import backbone_images
        from spf_lab.metrics.scores.preservation import Cosine, judged_alike

        return Cosine(judged_alike(backbone_images), f"cosine of pictures by {CLIP}", {"model": CLIP})


class BackboneClipT(ScoreConfig):
    """CLIP-T with the backbone's own CLIP, which training may use: no independent judge."""

    name = "backbone-clip-t"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.judges import backbone_images, backbone_texts, backbone_truncated
        from spf_lab.metrics.scores.response import ClipT

        return ClipT(backbone_images, backbone_texts, backbone_truncated, CLIP, {"model": CLIP})


SCORES: list[type[ScoreConfig]] = [SuiteFd, SuiteId, SuiteSegCons, BackboneClipI, BackboneClipT]
