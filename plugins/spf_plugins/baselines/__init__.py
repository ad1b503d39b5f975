"""Loss terms of the baselines: what other trainers and papers do against pollution."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class OutputPreservation(LossConfig):
    """Keeps the prediction under the base text, on the same z_t, as the base model's (DOP of ai-toolkit)."""

    name = "output-preservation"
    needs = frozenset({"original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import OutputPreservationLoss

        return OutputPreservationLoss("base")


class BlankPreservation(LossConfig):
    """Keeps the prediction under the empty text as the base model's (BPP of ai-toolkit)."""

    name = "blank-preservation"
    needs = frozenset({"original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import OutputPreservationLoss

        return OutputPreservationLoss("empty")


class MaskedPrior(LossConfig):
    """Keeps the prediction outside the map as the base model's under the complete text (OneTrainer)."""

    name = "masked-prior-preservation"
    needs = frozenset({"original", "map"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import MaskedPriorLoss

        return MaskedPriorLoss()


class ClassImages(LossConfig):
    """L_DM on images that the base model generates from base texts (DreamBooth's prior preservation)."""

    name = "class-preservation"
    needs = frozenset({"class_images"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import ClassImagesLoss

        return ClassImagesLoss()


class Slider(LossConfig):
    """Moves the prediction along the base model's own direction of the target (Concept Sliders)."""

    name = "concept-direction"
    needs = frozenset({"original", "target_text"})
    text: Literal["complete", "base"] = Field("complete", description="Text that the tuned model reads.")
    eta: float = Field(4.0, gt=0, description="Length of the step along the direction.")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.directions import SliderLoss

        return SliderLoss(self.text, self.eta)


class PureCC(LossConfig):
    """Keeps the direction that stage 1 gave the change by the target text (PureCC)."""

    name = "pure-concept"
    needs = frozenset({"target_text"})
    frozen_texts = True  # its extractor has a denoiser of its own alone
    weight: float = Field(2.0, ge=0, description="Factor of the term in the objective.")
    start: float = Field(0.5, ge=0, le=1, description="Fraction of training at which stage 1 ends.")
    length: float | None = Field(
        None,
        gt=0,
        description="Fixed factor of stage 1's direction. By default, each row has the one that fits best.",
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.directions import PureCCLoss

        return PureCCLoss(self.length)


class L2Drift(LossConfig):
    """Keeps the weights near the base model's: || theta - theta_0 ||^2 (Preserve and Personalize)."""

    name = "weight-drift"

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.weights import L2DriftLoss

        return L2DriftLoss()


class Orthogonality(LossConfig):
    """Keeps AdaLoRA's factors orthogonal: || A A^T - I || + || B^T B - I ||."""

    name = "orthogonality"
    weight: float = Field(0.5, ge=0, description="Factor of the term in the objective.")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.weights import OrthogonalityLoss

        return OrthogonalityLoss()


class TokenGrounding(LossConfig):
    """L_token pulls the attention to the target's words inside the mask (TokenCompose)."""

    name = "token-grounding"
    needs = frozenset({"attention", "masks"})
    weight: float = Field(1e-3, ge=0, description="Factor of the term in the objective.")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.tokencompose import TokenLoss

        return TokenLoss()


class PixelGrounding(LossConfig):
    """L_pixel makes the attention to the target equal the mask at each position (TokenCompose)."""

    name = "pixel-grounding"
    needs = frozenset({"attention", "masks"})
    weight: float = Field(5e-5, ge=0, description="Factor of the term in the objective.")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.tokencompose import PixelLoss

        return PixelLoss()


class Refl(LossConfig):
    """Trains the model's own images towards a high reward (ReFL)."""

    name = "reward-feedback"
    needs = frozenset({"reward"})
    weight: float = Field(1e-3, ge=0, description="Factor of the term in the objective.")
    rows: int = Field(2, ge=1, description="Number of rows that the term samples in each step.")
    steps: int = Field(10, ge=2, description="Number of sampler steps of a whole image.")
    last: int = Field(
        4, ge=1, description="Number of last sampler steps among which the term chooses the one to train."
    )
    margin: float = Field(2.0, gt=0, description="Reward above which the term is 0.")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.refl import ReflLoss

        return ReflLoss(self.rows, self.steps, self.last, self.margin)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (
        OutputPreservation,
        BlankPreservation,
        MaskedPrior,
        ClassImages,
        Slider,
        PureCC,
        L2Drift,
        Orthogonality,
        TokenGrounding,
        PixelGrounding,
        Refl,
    ):
        register(config)
