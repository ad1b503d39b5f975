"""Loss terms of the method: denoising, text consistency, fine-grained and output alignment."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term

Space = Literal["noise", "velocity", "image"]
Gamma = Annotated[
    float | None,
    Field(gt=0, description="min-SNR weighting of t with this gamma, usually 5; none weighs every t alike"),
]


class Denoising(LossConfig):
    """L_DM: the standard error of what the model predicts, noise or velocity, on the training images."""

    name = "denoising"
    min_snr_gamma: Gamma = None

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.losses.denoising import DenoisingLoss

        return DenoisingLoss(self.min_snr_gamma)


class RegionDenoising(LossConfig):
    """L_DM weighed by the control map: the images teach only where the target responds."""

    name = "region-denoising"
    needs = frozenset({"map"})
    floor: float = Field(0.0, ge=0, le=1, description="least weight of a position outside the map")
    space: Space = Field("noise", description="what is compared: the later ones weigh high t more")
    min_snr_gamma: Gamma = None

    @model_validator(mode="after")
    def _one_weighting(self) -> "RegionDenoising":
        if self.min_snr_gamma is not None and self.space != "noise":
            raise ValueError(
                f"space={self.space} and min_snr_gamma={self.min_snr_gamma:g} both weigh t; "
                "set space=noise, or leave min_snr_gamma out"
            )
        return self

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.losses.denoising import RegionDenoisingLoss

        return RegionDenoisingLoss(self.floor, self.space, self.min_snr_gamma)


class TextConsistency(LossConfig):
    """L_tc: base phrases keep attending where they attended before, outside the control map."""

    name = "text-consistency"
    needs = frozenset({"reference", "attention", "map"})
    renormalise: Literal["all", "phrases", "none"] = Field(
        "all",
        description="compare each token's share among the tokens of base phrases, EOT and PAD; `phrases`: "
        "among those of base phrases, with EOT and PAD as they are; `none`: what the layers have",
    )
    pad: bool = Field(True, description="compare the mean of EOT and PAD too")

    @field_validator("renormalise", mode="before")
    @classmethod
    def _of_older_runs(cls, value: Any) -> Any:
        """Runs saved `true` or `false` before PAD took part."""
        return {True: "phrases", False: "none"}[value] if isinstance(value, bool) else value

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.losses.alignment import TextConsistencyLoss

        return TextConsistencyLoss(self.renormalise, self.pad)


class FineGrained(LossConfig):
    """L_fg: cross-attention queries stay as the reference's outside the control map."""

    name = "fine-grained"
    needs = frozenset({"reference", "queries", "map"})
    features: Literal["query", "hidden", "query_ref_projection"] = Field(
        "query",
        description="what is compared: each path's queries, their input, or it in the original's basis",
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.losses.alignment import FineGrainedLoss

        return FineGrainedLoss(self.features)


class OutputAlignment(LossConfig):
    """The prediction stays as the reference's outside the control map."""

    name = "output-alignment"
    needs = frozenset({"reference", "map"})
    rows: Literal["all", "target", "preserved"] = Field(
        "all", description="which rows count: all, those that read their target, or those that do not"
    )
    space: Space = Field("noise", description="what is compared: the later ones weigh high t more")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.losses.alignment import OutputAlignmentLoss

        return OutputAlignmentLoss(self.rows, self.space)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (Denoising, RegionDenoising, TextConsistency, FineGrained, OutputAlignment):
        register(config)
