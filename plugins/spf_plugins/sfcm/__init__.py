"""Control maps: the paper's SFCM, and the maps that it is compared with."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from spf_core.plugins import ControlMapConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import ControlMap


class SfcmV1(ControlMapConfig):
    """The paper's SFCM, reconstructed: noise difference less the attention to unrelated phrases."""

    name = "sfcm-v1"
    needs = frozenset({"reference", "attention"})
    path: Literal["reference", "response"] = Field(
        "reference", description="Path whose attention to phrases is subtracted."
    )
    weights: Literal["rescaled", "plain"] = Field(
        "rescaled",
        description="Weights of the phrases. `rescaled`: distances from the target, rescaled to "
        "[0, 1], and averaged. `plain`: the distances themselves, and summed.",
    )

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.v1 import SfcmV1Map

        return SfcmV1Map(self.path, self.weights)


class SfcmV2(ControlMapConfig):
    """Difference of the two paths' predictions, averaged for each row over the steps that read it."""

    name = "sfcm-v2"
    needs = frozenset({"reference"})
    memory: float = Field(
        0.9,
        ge=0,
        lt=1,
        description="Weight of earlier steps in the average. With 0, each step has its own map.",
    )
    low: float = Field(0.7, ge=0, lt=1, description="Quantile of positions at and below which the map is 0.")
    high: float = Field(0.9, gt=0, le=1, description="Quantile of positions at and above which the map is 1.")

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
    """Region of the target, from counterfactuals and relevance. Computed before training."""

    name = "sfcm-counterfactual"
    needs = frozenset({"counterfactuals"})

    def build(self) -> "ControlMap":
        """Build the map."""
        from spf_plugins.sfcm.simple import CounterfactualMap

        return CounterfactualMap()


class Mask(ControlMapConfig):
    """Mask that the data holds for the training image."""

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
    """Attention of the response path to the target's tokens."""

    name = "target-attention"
    needs = frozenset({"attention"})
    threshold: float | None = Field(
        None, ge=0, le=1, description="Threshold that makes the map binary. By default, the map stays soft."
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
