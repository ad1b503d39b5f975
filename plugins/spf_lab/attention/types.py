"""What looking at a sampling gives."""

from dataclasses import dataclass

from PIL import Image

from spf_core.utils.prompts import Prompt
from spf_lab.evaluation.purity import Floats


@dataclass(frozen=True)
class Strip:
    """One model's sampling at some timesteps: what it expects to draw, attention and control map, each H W.

    Attention is the share of a position's attention that the word gets, a mean over heads, layers and the
    word's tokens. It is None where the original model opens the picture with a text that lacks the word.
    """

    picture: Image.Image
    estimates: tuple[Image.Image, ...]
    attention: tuple[Floats | None, ...]
    control: tuple[Floats, ...] = ()


@dataclass(frozen=True)
class AttentionMaps:
    """`timesteps` are fractions of the schedule, from noise to picture; strips by the model's name."""

    prompt: Prompt
    token: str
    seed: int
    timesteps: tuple[float, ...]
    strips: dict[str, Strip]
    control_map: str | None

    @property
    def strongest(self) -> float:
        """The largest attention of all maps: the top of their scale."""
        return max(
            (
                float(each.max())
                for strip in self.strips.values()
                for each in strip.attention
                if each is not None
            ),
            default=0.0,
        )
