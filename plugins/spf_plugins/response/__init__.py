"""Response enhancement: terms that keep the target strong while everything else is aligned."""

from typing import Any

from pydantic import Field

from spf_core.components import ResponseConfig
from spf_core.hookspecs import hookimpl


class Enhancement(ResponseConfig):
    """What the variants have in common: the gate on t, how large they decode, and how many rows."""

    max_timestep: float = Field(
        0.6, gt=0, le=1, description="only rows with t below this fraction of the schedule"
    )
    decode_size: int = Field(
        64, ge=1, description="longest side in latent pixels that is decoded; larger estimates are averaged"
    )
    share: float = Field(
        1.0, gt=0, le=1, description="of the rows inside the gate, those decoded; each counts 1 / share times"
    )


class ClipDirection(Enhancement):
    """The one-step clean estimate moves from the target's text like the training image does (variant A)."""

    name = "clip-direction"
    needs = frozenset({"clean_image"})

    def build(self) -> Any:
        """Build the term."""
        from spf_plugins.response.clip import ClipDirectionEnhancement

        return ClipDirectionEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipChange(Enhancement):
    """The clean estimate moves away from the original's like the training image from its base text (B)."""

    name = "clip-change"
    needs = frozenset({"clean_image", "original"})

    def build(self) -> Any:
        """Build the term."""
        from spf_plugins.response.clip import ClipChangeEnhancement

        return ClipChangeEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipDirect(Enhancement):
    """The clean estimate looks like the target's text: the direct supervision that A replaces (variant C)."""

    name = "clip-direct-supervision"

    def build(self) -> Any:
        """Build the term."""
        from spf_plugins.response.clip import ClipDirectEnhancement

        return ClipDirectEnhancement(self.max_timestep, self.decode_size, self.share)


@hookimpl
def spf_register_response_enhancers() -> list[type[ResponseConfig]]:
    """Register the response enhancements of this group."""
    return [ClipDirection, ClipChange, ClipDirect]
