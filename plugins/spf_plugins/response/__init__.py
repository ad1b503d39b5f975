"""Response enhancement: terms that keep the target strong while everything else is aligned."""

from typing import TYPE_CHECKING

from pydantic import Field

from spf_core.plugins import Register, ResponseConfig, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class Enhancement(ResponseConfig):
    """What the variants have in common: the gate on t, the size that they decode, and how many rows."""

    max_timestep: float = Field(
        0.6,
        gt=0,
        le=1,
        description="The term counts only rows with t below this fraction of the noise schedule.",
    )
    decode_size: int = Field(
        64,
        ge=1,
        description="Longest side of a decoded estimate, in latent pixels. Larger "
        "estimates are averaged down to it.",
    )
    share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of those rows that the term decodes. Each then counts 1 / share times.",
    )


class ClipRegion(Enhancement):
    """Pulls the clean estimate, changed inside the control map alone, towards the target text."""

    name = "clip-region"
    needs = frozenset({"map"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipRegionEnhancement

        return ClipRegionEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipDirection(Enhancement):
    """Variant A: pulls the clean estimate towards the training image, seen from the target text, in CLIP."""

    name = "clip-direction"
    needs = frozenset({"clean_image"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipDirectionEnhancement

        return ClipDirectionEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipChange(Enhancement):
    """Variant B: makes the clean estimate's change equal that from base text to training image, in CLIP."""

    name = "clip-change"
    needs = frozenset({"clean_image", "original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.response.clip import ClipChangeEnhancement

        return ClipChangeEnhancement(self.max_timestep, self.decode_size, self.share)


class ClipDirect(Enhancement):
    """Variant C: pulls the whole clean estimate towards the target text, by direct CLIP supervision."""

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
