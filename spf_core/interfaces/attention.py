"""Where a denoiser's image positions attend to the text, and how that is recorded."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from spf_core.interfaces.types import Capture


@dataclass(frozen=True)
class Captured:
    """What was recorded, by the name of the site; Q image positions, L text tokens.

    `attention` holds mean probabilities over heads (B Q L), `queries` and `hidden` the outputs and inputs of
    `to_q` (B Q D). No position is a text token, also where a layer treats both in one sequence.
    """

    attention: dict[str, Tensor] = field(default_factory=dict)
    queries: dict[str, Tensor] = field(default_factory=dict)
    hidden: dict[str, Tensor] = field(default_factory=dict)


class AttentionSite(Protocol):
    """A layer in which image queries meet text keys."""

    @property
    def name(self) -> str:
        """The layer's name in the denoiser, such as `mid_block.attentions.0.transformer_blocks.0.attn2`."""

    @property
    def to_q(self) -> nn.Module:
        """The projection of the image positions' queries."""

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of its positions, row by row, for latents of this height and width."""

    def recording(self, capture: Capture, captured: Captured) -> AbstractContextManager[None]:
        """Within the context every pass records what `capture` asks for; then the layer is as before."""
