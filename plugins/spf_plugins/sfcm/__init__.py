"""Control maps: the SFCM as drawn in the paper, and the maps it is compared with."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from spf_core.plugins import ControlMapConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import ControlMap


class SfcmV1(ControlMapConfig):
    """SFCM as drawn in the paper: noise difference minus the attention of phrases unrelated to the target."""

    name = "sfcm-v1"
    needs = frozenset({"reference", "attention"})
    path: Literal["reference", "response"] = Field(
        "reference", description="path whose phrase attention is subtracted"
    )
    weights: Literal["rescaled", "plain"] = Field(
        "rescaled",
        description="of the phrases: `rescaled` from 0 for the one most like the target to 1, and their mean "
        "is subtracted; `plain`: each phrase's distance from the target, and their sum",
    )

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.v1 import SfcmV1Map

        return SfcmV1Map(self.path, self.weights)


class SfcmV2(ControlMapConfig):
    """Where the two paths differ, remembered for every row over the timesteps at which it was seen."""

    name = "sfcm-v2"
    needs = frozenset({"reference"})
    memory: float = Field(0.9, ge=0, lt=1, description="weight of earlier steps; 0 maps every step alone")
    low: float = Field(0.7, ge=0, lt=1, description="quantile of positions where the map becomes 0")
    high: float = Field(0.9, gt=0, le=1, description="quantile of positions where the map becomes 1")

    @model_validator(mode="after")
    def _ordered(self) -> "SfcmV2":
        if self.low >= self.high:
            raise ValueError(f"low={self.low} must lie below high={self.high}")
        return self

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.v2 import SfcmV2Map

        return SfcmV2Map(self.memory, self.low, self.high)


class SfcmCounterfactual(ControlMapConfig):
    """Where the original model's own pictures with and without the target differ."""

    name = "sfcm-counterfactual"
    needs = frozenset({"counterfactuals"})

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.simple import CounterfactualMap

        return CounterfactualMap()


class Mask(ControlMapConfig):
    """The mask that comes with the training image."""

    name = "mask"
    needs = frozenset({"masks"})

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.simple import MaskMap

        return MaskMap()


class Uniform(ControlMapConfig):
    """No map: M = 0, alignment everywhere (the ablation without SFCM)."""

    name = "uniform"

    def build(self) -> "ControlMap":
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

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.simple import TargetAttentionMap

        return TargetAttentionMap(self.threshold)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (SfcmV1, SfcmV2, SfcmCounterfactual, Mask, Uniform, TargetAttention):
        register(config)
