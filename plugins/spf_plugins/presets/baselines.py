"""Baselines: plain fine-tuning, and what other tools and papers do against pollution.

Rates and lengths are set by hand for the small model, without a search. Only the slider of the benchmark was
chosen on the development split, among four settings. docs/reference/baselines.md has the sources and the
upstream values.
"""

from typing import Any, ClassVar

from spf_core.plugins import PresetConfig
from spf_plugins.presets.common import DENOISING

_FULL: dict[str, Any] = {**DENOISING, "adapter": "full-unet", "optimizer": {"learning_rate": 1e-4}}
_WITH_REFERENCE: dict[str, Any] = {**DENOISING, "reference": "adapter-off"}


class Naive(PresetConfig):
    """Baseline: plain fine-tuning of the whole UNet with the denoising loss."""

    name = "naive"
    settings: ClassVar[dict[str, Any]] = _FULL


class Lora(PresetConfig):
    """Baseline: plain LoRA fine-tuning with the denoising loss."""

    name = "lora"
    settings: ClassVar[dict[str, Any]] = DENOISING


class Prompting(PresetConfig):
    """Baseline: no training. The base model reads the complete text."""

    name = "prompt"
    settings: ClassVar[dict[str, Any]] = {**DENOISING, "train": {**DENOISING["train"], "steps": 0}}


class AdaLora(PresetConfig):
    """Baseline: LoRA with a shared budget of ranks and orthogonal factors (AdaLoRA)."""

    name = "adalora"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "adapter": "adalora-adapter",
        "losses": {"denoising": {}, "orthogonality": {}},
        "optimizer": {"learning_rate": 2e-3},
    }


class TokenCompose(PresetConfig):
    """Baseline: full fine-tuning with the target's attention grounded in masks (TokenCompose)."""

    name = "tokencompose"
    settings: ClassVar[dict[str, Any]] = {
        **_FULL,
        "losses": {"denoising": {}, "token-grounding": {}, "pixel-grounding": {}},
    }


class Magnet(PresetConfig):
    """Baseline: full fine-tuning, and text embeddings that Magnet edits at sampling."""

    name = "magnet"
    settings: ClassVar[dict[str, Any]] = {**_FULL, "editor": "magnet-editor"}


class ClipDirect(PresetConfig):
    """Baseline: LoRA with direct CLIP supervision by the target text."""

    name = "clip-direct"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "response": {"name": "clip-direct-supervision", "weight": 0.1},
    }


class Refl(PresetConfig):
    """Baseline: LoRA with reward feedback on the model's own images (ReFL)."""

    name = "refl"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "reward": "clip-reward",
        "losses": {"denoising": {}, "reward-feedback": {"weight": 0.02}},
    }


class ClassImages(PresetConfig):
    """Baseline: LoRA with prior preservation on images that the base model generates (DreamBooth)."""

    name = "class-images"
    settings: ClassVar[dict[str, Any]] = {**DENOISING, "losses": {"denoising": {}, "class-preservation": {}}}


class OutputPreservation(PresetConfig):
    """Baseline: LoRA that keeps the base model's prediction under the base text (DOP of ai-toolkit)."""

    name = "dop"
    settings: ClassVar[dict[str, Any]] = {
        **_WITH_REFERENCE,
        "losses": {"denoising": {}, "output-preservation": {}},
    }


class BlankPreservation(PresetConfig):
    """Baseline: LoRA that keeps the base model's prediction under the empty text (BPP of ai-toolkit)."""

    name = "bpp"
    settings: ClassVar[dict[str, Any]] = {
        **_WITH_REFERENCE,
        "losses": {"denoising": {}, "blank-preservation": {}},
    }


class MaskedPrior(PresetConfig):
    """Baseline: LoRA inside masks, with the base model's predictions outside (OneTrainer)."""

    name = "masked-prior"
    settings: ClassVar[dict[str, Any]] = {
        **_WITH_REFERENCE,
        "control_map": "mask",
        "losses": {"region-denoising": {"floor": 0.1}, "masked-prior-preservation": {"weight": 0.5}},
    }


class PriorPrediction(PresetConfig):
    """Baseline: LoRA where half of the rows keep the base model's predictions (OneTrainer)."""

    name = "prior-prediction"
    settings: ClassVar[dict[str, Any]] = {
        **_WITH_REFERENCE,
        "control_map": "uniform",
        "losses": {"denoising": {}, "output-alignment": {"rows": "preserved"}},
        "train": {**DENOISING["train"], "base_share": 0.5},
    }


class Slider(PresetConfig):
    """Baseline: LoRA along the base model's own direction of the target (Concept Sliders)."""

    name = "slider"
    settings: ClassVar[dict[str, Any]] = {
        **_WITH_REFERENCE,
        "losses": {"concept-direction": {}},
        "train": {**DENOISING["train"], "noise_share": 1.0},
    }


class L2Drift(PresetConfig):
    """Baseline: full fine-tuning that stays near the base weights (Preserve and Personalize)."""

    name = "l2-drift"
    settings: ClassVar[dict[str, Any]] = {
        **_FULL,
        "losses": {"denoising": {}, "weight-drift": {"weight": 0.01}},
    }


class PureCC(PresetConfig):
    """Baseline: LoRA, then a second LoRA that keeps the target direction of the first (PureCC)."""

    name = "purecc"
    settings: ClassVar[dict[str, Any]] = {**DENOISING, "losses": {"denoising": {}, "pure-concept": {}}}


BASELINES = [
    Prompting,
    Naive,
    Lora,
    AdaLora,
    TokenCompose,
    Magnet,
    ClipDirect,
    Refl,
    ClassImages,
    OutputPreservation,
    BlankPreservation,
    MaskedPrior,
    PriorPrediction,
    Slider,
    L2Drift,
    PureCC,
]
