"""Control maps: the SFCM as drawn in the paper, and the maps it is compared with."""

from typing import Any, Literal

from pydantic import Field

from spf_core.components import ControlMapConfig
from spf_core.hookspecs import hookimpl


class SfcmV1(ControlMapConfig):
    """SFCM as drawn in the paper: noise difference minus the attention of phrases unrelated to the target."""

    name = "sfcm-v1"
    needs = frozenset({"reference", "attention"})
    path: Literal["reference", "response"] = Field(
        "reference", description="path whose phrase attention is subtracted"
    )

    def build(self) -> Any:
        """Build the map."""
        from spf_plugins.sfcm.v1 import SfcmV1Map

        return SfcmV1Map(self.path)


class Uniform(ControlMapConfig):
    """No map: M = 0, alignment everywhere (the ablation without SFCM)."""

    name = "uniform"

    def build(self) -> Any:
        """Build the map."""
        from spf_plugins.sfcm.simple import UniformMap

        return UniformMap()


class TargetAttention(ControlMapConfig):
    """Where the response path attends to the target's tokens."""

    name = "target-attention"
    needs = frozenset({"attention"})
    threshold: float | None = Field(
        None, ge=0, le=1, description="make the map binary at this value; none keeps it soft"
    )

    def build(self) -> Any:
        """Build the map."""
        from spf_plugins.sfcm.simple import TargetAttentionMap

        return TargetAttentionMap(self.threshold)


@hookimpl
def spf_register_control_maps() -> list[type[ControlMapConfig]]:
    """Register the control maps of this group."""
    return [SfcmV1, Uniform, TargetAttention]
