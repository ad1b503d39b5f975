"""Response enhancement: terms that keep the target strong while everything else is aligned."""

from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import Register, ResponseConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


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


class ClipRegion(Enhancement):
    """The clean estimate, changed inside the control map alone, looks like the target's text."""

    name = "clip-region"
    needs = frozenset({"map"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipRegionEnhancement

        return ClipRegionEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipDirection(Enhancement):
    """The clean estimate stands to the target's text as the training image does, and nears that image (A)."""

    name = "clip-direction"
    needs = frozenset({"clean_image"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipDirectionEnhancement

        return ClipDirectionEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipChange(Enhancement):
    """The clean estimate leaves the original's as the training image its text, and nears that image (B)."""

    name = "clip-change"
    needs = frozenset({"clean_image", "original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipChangeEnhancement

        return ClipChangeEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipDirect(Enhancement):
    """The clean estimate looks like the target's text: direct supervision of the whole picture (C)."""

    name = "clip-direct-supervision"

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipDirectEnhancement

        return ClipDirectEnhancement(self.max_timestep, self.decode_size, self.share)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (ClipRegion, ClipDirection, ClipChange, ClipDirect):
        register(config)
