"""How well the tuned model's pictures (C) show what the text asks for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import Backbone, Column, Quadruples, Suite
from spf_lab.metrics.networks.clip import Clip
from spf_lab.metrics.networks.judge import ImageJudge, TextJudge

Scorer = Callable[[Sequence[Any], Sequence[str], Suite, Backbone], Tensor]


class ClipT:
    """Raw cosines of pictures and texts, not multiplied by anything."""

    def __init__(
        self,
        images: ImageJudge,
        texts: TextJudge,
        truncated: Callable[[Sequence[str], Backbone], str],
        by: str,
        provenance: Mapping[str, Any],
    ) -> None:
        self.images, self.texts, self.truncated, self.by = images, texts, truncated, by
        self.provenance = provenance

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Complete text, target text alone, and the change of the picture along the change of the text."""
        complete, base, target = texts_of(quads)
        a, c = (self.images(images, suite, backbone) for images in (quads.a, quads.c))
        full, bare, target_embeds = (self.texts(texts, suite, backbone) for texts in (complete, base, target))
        along = (F.normalize(c - a, dim=-1) * F.normalize(full - bare, dim=-1)).sum(dim=-1)
        note = self.truncated(complete, backbone)
        whole, phrase = (c * full).sum(dim=-1), (c * target_embeds).sum(dim=-1)
        return {
            "": Column(f"cosine with the complete text by {self.by}", "higher", whole, note=note),
            "target": Column(f"cosine with the target text by {self.by}", "higher", phrase),
            "direction": Column(f"cosine of the changes of picture and text by {self.by}", "higher", along),
        }


class Preference:
    """A model of people's preferences: its score of C, and how often it would prefer C to A."""

    def __init__(
        self, score: Scorer, meaning: str, provenance: Mapping[str, Any], *, scale: float = 1.0
    ) -> None:
        """`scale` times a score's difference is the log-odds of a preference."""
        self.score, self.meaning, self.provenance, self.scale = score, meaning, provenance, scale

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Two numbers for each pair; both pictures are judged by the complete text."""
        complete, _, _ = texts_of(quads)
        of_c, of_a = (self.score(images, complete, suite, backbone) for images in (quads.c, quads.a))
        return {
            "": Column(self.meaning, "higher", of_c),
            "preference": Column(
                "probability that C is preferred to A", "higher", (self.scale * (of_c - of_a)).sigmoid()
            ),
        }


def clip_scorer(clip: Clip, factor: float) -> Scorer:
    """`factor` times the cosine of each picture with its text."""

    def score(images: Sequence[Any], texts: Sequence[str], suite: Suite, backbone: Backbone) -> Tensor:
        seen, read = clip.images(images, suite, backbone), clip.texts(texts, suite, backbone)
        return factor * (seen * read).sum(dim=-1)

    return score


def texts_of(quads: Quadruples) -> tuple[list[str], list[str], list[str]]:
    """Complete, base and target text of every pair."""
    prompts = [item.prompt for item in quads.prompts]
    return (
        [prompt.complete_text for prompt in prompts],
        [prompt.base_text for prompt in prompts],
        [prompt.target_text or prompt.complete_text for prompt in prompts],
    )
