"""Scores of how similar the tuned model's images are to the base model's, by outside networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from spf_core.plugins import ScoreConfig, UserPath, WeightedScoreConfig
from spf_lab.metrics.configs.clip import ClipConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Score


class Lpips(WeightedScoreConfig):
    """LPIPS, version 0.1: perceptual distance of whole images, and outside the region."""

    name = "lpips"
    weights = "lpips-alex"
    licence = "trunk BSD-3-Clause, heads BSD-2-Clause"
    network: Literal["alex", "vgg"] = Field(
        "alex", description="Trunk network that the heads were trained on."
    )
    size: int = Field(256, ge=64, description="Side in pixels at which images are compared.")

    @property
    def weights_name(self) -> str:
        """A name for each trunk."""
        return f"lpips-{self.network}"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.lpips import load_lpips
        from spf_lab.metrics.scores.preservation import LpipsScore

        found = self.locate()
        facts = found.provenance(network=self.network, size=self.size)
        return LpipsScore(load_lpips(found.file, self.network), self.size, facts)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """Torchvision's alexnet or vgg16 file, then lpips's weights/v0.1/alex.pth or vgg.pth."""
        from spf_lab.metrics.convert.plain import convert_lpips

        convert_lpips(sources, out, self.network)


class ClipI(ClipConfig):
    """CLIP-I: cosine similarity of CLIP image embeddings. The target itself lowers it."""

    name = "clip-i"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import Cosine, judged_alike

        clip, facts = self.clip()
        return Cosine(judged_alike(clip.images), "cosine of CLIP image embeddings", facts)


class DinoConfig(WeightedScoreConfig):
    """A score by DINOv2."""

    weights = "dinov2"
    hub = "facebook/dinov2-base"
    licence = "Apache-2.0"

    def dino(self) -> tuple[Any, dict[str, Any]]:
        """The embedder of pictures and its provenance."""
        from spf_lab.metrics.networks.transformers import dino

        found = self.locate()
        return dino(found.folder), found.provenance()


class Dino(DinoConfig):
    """DINO: cosine similarity of DINOv2's CLS embeddings. It sees more shape and texture than CLIP-I."""

    name = "dino"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import Cosine, judged_alike

        network, facts = self.dino()
        return Cosine(judged_alike(network), "cosine of DINOv2 embeddings", facts)


class Fid(WeightedScoreConfig):
    """FID: Frechet distance of Inception-v3's pool features, with their KID and displacement."""

    name = "fid"
    weights = "inception"
    licence = "Apache-2.0"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.inception import load_inception
        from spf_lab.metrics.scores.preservation import FeatureDistance, judged_alike

        found = self.locate()
        network = load_inception(found.file)
        facts = found.provenance(resize="PIL bicubic to 299")
        return FeatureDistance(judged_alike(network), "Inception features", facts)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """`pt_inception-2015-12-05-6726825d.pth`."""
        from spf_lab.metrics.convert.plain import convert_inception

        convert_inception(sources, out)


class FdClip(ClipConfig):
    """Frechet distance, KID and displacement, on CLIP's image embeddings. Not comparable with FID."""

    name = "fd-clip"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import FeatureDistance, judged_alike

        clip, facts = self.clip()
        return FeatureDistance(judged_alike(clip.images), "unit-norm CLIP embeddings", facts)


class FdDino(DinoConfig):
    """Frechet distance, KID and displacement, on DINOv2's CLS embeddings. Not comparable with FID."""

    name = "fd-dino"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import FeatureDistance, judged_alike

        network, facts = self.dino()
        return FeatureDistance(judged_alike(network), "unit-norm DINOv2 embeddings", facts)


class FaceConfig(WeightedScoreConfig):
    """A score over faces."""

    weights = "arcface"
    licence = "InsightFace's published weights: research only, not commercial"

    alignment: Literal["detect", "none"] = Field(
        "detect", description="`detect` finds and aligns faces. `none` takes images for aligned faces."
    )
    detector: UserPath | None = Field(None, description="OpenCV's face_detection_yunet .onnx file.")
    threshold: float = Field(0.7, gt=0, lt=1, description="Lowest confidence of a detected face.")

    def missing(self) -> str | None:
        """What the weights lack, or the detector."""
        from importlib.util import find_spec

        if self.alignment == "detect" and find_spec("cv2") is None:
            return "OpenCV finds the faces: pip install opencv-python-headless, or set alignment=none"
        return super().missing()

    def faces(self) -> tuple[Any, dict[str, Any]]:
        """The embedder of faces and its provenance."""
        from spf_lab.metrics.networks.faces import FaceEmbedder, YuNet
        from spf_lab.metrics.networks.iresnet import load_iresnet

        found = self.locate()
        detector = YuNet(self.detector, self.threshold) if self.alignment == "detect" else None
        facts = found.provenance(alignment=self.alignment, detector=self.detector, threshold=self.threshold)
        return FaceEmbedder(load_iresnet(found.file), detector), facts

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """`backbone.pth` of ArcFace's PyTorch code."""
        from spf_lab.metrics.convert.plain import convert_arcface

        convert_arcface(sources, out)


class Id(FaceConfig):
    """ID: cosine similarity of ArcFace embeddings. Not for targets that change the identity."""

    name = "id"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import Cosine, faces_of

        embedder, facts = self.faces()
        return Cosine(faces_of(embedder), "cosine of ArcFace embeddings", facts, identity=True)


class FdId(FaceConfig):
    """Frechet distance, KID and displacement, on ArcFace embeddings. Not comparable with FID."""

    name = "fd-id"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.preservation import FeatureDistance, faces_of

        embedder, facts = self.faces()
        return FeatureDistance(faces_of(embedder), "ArcFace embeddings", facts)


class SegCons(WeightedScoreConfig):
    """Seg-Cons by face parsing: mean IoU of parts, whole and outside the region."""

    name = "seg-cons"
    weights = "face-parsing"
    hub = "jonathandinu/face-parsing"
    licence = "unclear: NVIDIA SegFormer and CelebAMask-HQ are not for commercial use"
    allowed: tuple[str, ...] = Field(
        (), description="Classes that the target may change, such as hat or hair."
    )

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.transformers import Parser
        from spf_lab.metrics.scores.preservation import SegmentationConsistency

        found = self.locate()
        parser = Parser(found.folder)
        numbers = parser.numbers(self.allowed)
        facts = found.provenance(allowed=list(self.allowed), classes=list(parser.names))
        return SegmentationConsistency(parser.parts, lambda suite, target: numbers, "a face parser", facts)


class SegConsSam(WeightedScoreConfig):
    """Seg-Cons by Segment Anything: masks of image A found again in image C, weighted by area."""

    name = "seg-cons-sam"
    weights = "sam"
    hub = "facebook/sam-vit-base"
    licence = "Apache-2.0"
    points: int = Field(
        16, ge=2, description="Number of points on a side of the grid that prompts for masks."
    )
    sure: float = Field(
        0.88, ge=0, le=1, description="Lowest quality that the model predicts for a mask that counts."
    )
    stable: float = Field(
        0.95, ge=0, le=1, description="Lowest IoU of a mask cut 1 above and 1 below its logit."
    )

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.sam import MaskFinder
        from spf_lab.metrics.scores.masks import MaskConsistency

        found = self.locate()
        finder = MaskFinder(found.folder, self.points, self.sure, self.stable)
        facts = found.provenance(points=self.points, sure=self.sure, stable=self.stable)
        return MaskConsistency(finder, facts)


SCORES: list[type[ScoreConfig]] = [Fid, FdClip, FdDino, FdId, Lpips, Id, ClipI, Dino, SegCons, SegConsSam]
