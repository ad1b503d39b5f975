"""Loss terms of the neighbours: what today's trainers and other papers do against pollution."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term


class OutputPreservation(LossConfig):
    """Under the base text, on the very same z_t, the prediction stays the original's (DOP of ai-toolkit)."""

    name = "output-preservation"
    needs = frozenset({"original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import OutputPreservationLoss

        return OutputPreservationLoss("base")


class BlankPreservation(LossConfig):
    """Under the empty text the prediction stays the original's (BPP of ai-toolkit)."""

    name = "blank-preservation"
    needs = frozenset({"original"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import OutputPreservationLoss

        return OutputPreservationLoss("empty")


class MaskedPrior(LossConfig):
    """Outside the map the prediction stays the original's under the same complete text (OneTrainer)."""

    name = "masked-prior-preservation"
    needs = frozenset({"original", "map"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import MaskedPriorLoss

        return MaskedPriorLoss()


class ClassImages(LossConfig):
    """L_DM on pictures that the original draws for the base texts (DreamBooth's prior preservation)."""

    name = "class-preservation"
    needs = frozenset({"class_images"})

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.preservation import ClassImagesLoss

        return ClassImagesLoss()


class Slider(LossConfig):
    """No images: the prediction moves along the original's own direction of the target (Concept Sliders)."""

    name = "concept-direction"
    needs = frozenset({"original", "target_text"})
    text: Literal["complete", "base"] = Field("complete", description="what the tuned model reads")
    eta: float = Field(4.0, gt=0, description="length of the step along the direction")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.directions import SliderLoss

        return SliderLoss(self.text, self.eta)


class PureCC(LossConfig):
    """What the target's words change keeps the direction that stage 1 gave it (PureCC)."""

    name = "pure-concept"
    needs = frozenset({"target_text"})
    frozen_texts = True  # its extractor has a denoiser of its own alone
    weight: float = Field(2.0, ge=0, description="factor of the term in the objective")
    start: float = Field(0.5, ge=0, le=1, description="fraction of training at which stage 1 ends")
    length: float | None = Field(
        None, gt=0, description="fixed factor of stage 1's direction; without it, the best one for each row"
    )

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.directions import PureCCLoss

        return PureCCLoss(self.length)


class L2Drift(LossConfig):
    """The trained weights stay near the original ones: || theta - theta_0 ||^2 (Preserve and Personalize)."""

    name = "weight-drift"

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.weights import L2DriftLoss

        return L2DriftLoss()


class Orthogonality(LossConfig):
    """AdaLoRA's factors stay orthogonal: || A A^T - I || + || B^T B - I ||."""

    name = "orthogonality"
    weight: float = Field(0.5, ge=0, description="factor of the term in the objective")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.weights import OrthogonalityLoss

        return OrthogonalityLoss()


class TokenGrounding(LossConfig):
    """L_token: the target's words attend inside the mask (TokenCompose)."""

    name = "token-grounding"
    needs = frozenset({"attention", "masks"})
    weight: float = Field(1e-3, ge=0, description="factor of the term in the objective")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.tokencompose import TokenLoss

        return TokenLoss()


class PixelGrounding(LossConfig):
    """L_pixel: the target's attention is the mask, position by position (TokenCompose)."""

    name = "pixel-grounding"
    needs = frozenset({"attention", "masks"})
    weight: float = Field(5e-5, ge=0, description="factor of the term in the objective")

    def build(self) -> "Term":
        """Build the term."""
        from spf_plugins.baselines.tokencompose import PixelLoss

        return PixelLoss()


class Refl(LossConfig):
    """The model's own pictures please a reward (ReFL)."""

    name = "reward-feedback"
    needs = frozenset({"reward"})
    weight: float = Field(1e-3, ge=0, description="factor of the term in the objective")
    rows: int = Field(2, ge=1, description="rows drawn in each step")
    steps: int = Field(10, ge=2, description="sampler steps of a whole picture")
    last: int = Field(4, ge=1, description="the step that is trained is drawn from the last ones")
    margin: float = Field(2.0, gt=0, description="a reward above this is good enough")

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
