"""Scores of how well the tuned model's pictures show what the text asks for, by outside networks."""

from typing import Any

from spf_core.components import ScoreConfig
from spf_core.weights import WeightedScoreConfig


class ClipT(WeightedScoreConfig):
    """CLIP-T: raw cosine of picture and text; complete text, target text alone, and along the change."""

    name = "clip-t"
    weights = "clip"
    hub = "openai/clip-vit-large-patch14"
    licence = "MIT"

    def build(self) -> Any:
        """Return the score."""
        from spf_plugins.metrics.networks.clip import Clip
        from spf_plugins.metrics.scores import response

        found = self.locate()
        clip = Clip(found.folder)
        return response.ClipT(clip.images, clip.texts, clip.truncated, "CLIP", found.provenance())


SCORES: list[type[ScoreConfig]] = [ClipT]
