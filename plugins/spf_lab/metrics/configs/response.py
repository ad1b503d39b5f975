"""Scores of how well the tuned model's images fit the text, by outside networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from spf_core.plugins import ScoreConfig, WeightedScoreConfig
from spf_lab.metrics.configs.clip import ClipConfig

if TYPE_CHECKING:
    from spf_core.interfaces import Score


class ClipT(ClipConfig):
    """CLIP-T: raw cosine similarity of image and text, for the complete text, the target and the change."""

    name = "clip-t"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores import response

        clip, facts = self.clip()
        return response.ClipT(clip.images, clip.texts, clip.truncated, "CLIP", facts)


class PickScore(ClipConfig):
    """PickScore: a CLIP tuned on human choices. Compare it only under equal prompts."""

    name = "pick-score"
    weights = "pick-score"
    hub = "yuvalkirstain/PickScore_v1"
    licence = "MIT (code); see the model card for the weights"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.response import Preference, clip_scorer

        clip, facts = self.clip()
        return Preference(clip_scorer(clip, clip.scale), "PickScore", facts)


class HpsV2(ClipConfig):
    """HPSv2: a CLIP tuned on human preferences; raw cosine similarity. Not comparable with HPSv2.1."""

    name = "hps-v2"
    weights = "hps-v2"
    hub = None
    licence = "Apache-2.0"
    version: ClassVar[str] = "2.0"

    def build(self) -> "Score":
        """Return the score."""
        from spf_lab.metrics.scores.response import Preference, clip_scorer

        clip, facts = self.clip(hps_version=self.version)
        return Preference(clip_scorer(clip, 1.0), f"HPS v{self.version}", facts, scale=clip.scale)

    def convert(self, sources: Sequence[Path], out: Path, base: Path | None) -> None:
        """`HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt`; base: CLIP-ViT-H-14-laion2B-s32B-b79K."""
        from spf_lab.metrics.convert.open_clip import convert_hps

        convert_hps(sources, out, base)


class HpsV21(HpsV2):
    """HPSv2.1: HPSv2 tuned on more and better data. Not comparable with HPSv2."""

    name = "hps-v2-1"
    weights = "hps-v2-1"
    version: ClassVar[str] = "2.1"


class ImageReward(WeightedScoreConfig):
    """ImageReward: a BLIP that rates images under their text, from about -2 to 2."""

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
    """MPS-overall: CLIP-H with cross-attention to the relevant words; raw, unlike in the paper."""

    name = "mps"
    weights = "mps"
    licence = "MIT (code); the weights name none of their own"
    threshold: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Lowest relative similarity of a word to the conditions. The model file has 0.01.",
    )
    condition: str | None = Field(
        None, description="List of conditions. By default, those of the overall score."
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
