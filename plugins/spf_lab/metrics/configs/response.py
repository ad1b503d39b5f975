"""Scores of how well the tuned model's pictures show what the text asks for, by outside networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from spf_core.plugins import ScoreConfig, WeightedScoreConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Score


class ClipT(WeightedScoreConfig):
    """CLIP-T: raw cosine of picture and text; complete text, target text alone, and along the change."""

    name = "clip-t"
    weights = "clip"
    hub = "openai/clip-vit-large-patch14"
    licence = "MIT"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.clip import Clip
        from spf_lab.metrics.scores import response

        found = self.locate()
        clip = Clip(found.folder)
        return response.ClipT(clip.images, clip.texts, clip.truncated, "CLIP", found.provenance())


class PickScore(WeightedScoreConfig):
    """PickScore: a CLIP tuned on choices of people, exp(scale) x cosine; compare under equal prompts only."""

    name = "pick-score"
    weights = "pick-score"
    hub = "yuvalkirstain/PickScore_v1"
    licence = "MIT (code); see the model card for the weights"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.clip import Clip
        from spf_lab.metrics.scores.response import Preference, clip_scorer

        found = self.locate()
        clip = Clip(found.folder)
        return Preference(clip_scorer(clip, clip.scale), "PickScore", found.provenance())


class HpsV2(WeightedScoreConfig):
    """HPSv2: a CLIP tuned on people's preferences, raw cosine; not comparable with HPSv2.1."""

    name = "hps-v2"
    weights = "hps-v2"
    licence = "Apache-2.0"
    version: ClassVar[str] = "2.0"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.clip import Clip
        from spf_lab.metrics.scores.response import Preference, clip_scorer

        found = self.locate()
        clip = Clip(found.folder)
        facts = found.provenance(hps_version=self.version)
        return Preference(clip_scorer(clip, 1.0), f"HPS v{self.version}", facts, scale=clip.scale)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """`HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt`; base: CLIP-ViT-H-14-laion2B-s32B-b79K."""
        from spf_lab.metrics.convert.open_clip import convert_hps

        convert_hps(sources, out, base)


class HpsV21(HpsV2):
    """HPSv2.1: as HPSv2, tuned on more and better data; not comparable with HPSv2."""

    name = "hps-v2-1"
    weights = "hps-v2-1"
    version: ClassVar[str] = "2.1"


class ImageReward(WeightedScoreConfig):
    """ImageReward: a BLIP that rates pictures under their text, about -2 to 2."""

    name = "image-reward"
    weights = "image-reward"
    licence = "Apache-2.0"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.image_reward import DEVIATION, RewardModel
        from spf_lab.metrics.scores.response import Preference

        found = self.locate()
        return Preference(RewardModel(found), "ImageReward", found.provenance(), scale=DEVIATION)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """`ImageReward.pt`; base: bert-base-uncased."""
        from spf_lab.metrics.convert.blip import convert_image_reward

        convert_image_reward(sources, out, base)


class Mps(WeightedScoreConfig):
    """MPS-overall: CLIP-H with cross-attention to the words that matter; raw, unlike the paper's column."""

    name = "mps"
    weights = "mps"
    licence = "MIT (code); the weights name none of their own"
    threshold: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="least relative nearness of a word to the conditions; the model file has 0.01",
    )
    condition: str | None = Field(
        None, description="list of conditions; by default those of the overall score"
    )

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.networks.mps import CONDITION, MpsModel
        from spf_lab.metrics.scores.response import Preference

        found = self.locate()
        condition = self.condition or CONDITION
        facts = found.provenance(threshold=self.threshold, condition=condition, mask="normalised per text")
        return Preference(MpsModel(found, condition, self.threshold), "MPS-overall, raw", facts)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """The model's state dict, or DiffSynth's safetensors; base: CLIP-ViT-H-14-laion2B-s32B-b79K."""
        from spf_lab.metrics.convert.mps import convert_mps

        convert_mps(sources, out, base)


SCORES: list[type[ScoreConfig]] = [ClipT, PickScore, HpsV2, HpsV21, ImageReward, Mps]
