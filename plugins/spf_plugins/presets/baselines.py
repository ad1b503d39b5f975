"""What a user could pick instead: plain fine-tuning and what other tools and papers do against pollution.

Rates and lengths are set by hand for the small model and were not searched; the benchmark's slider alone was
chosen on the development split, among four settings. docs/reference/baselines.md has the sources and the
upstream values.
"""

from typing import Any, ClassVar

from spf_core.plugins import PresetConfig
from spf_plugins.presets.common import DENOISING

_FULL: dict[str, Any] = {**DENOISING, "adapter": "full-unet", "optimizer": {"learning_rate": 1e-4}}
_REFERRED: dict[str, Any] = {**DENOISING, "reference": "adapter-off"}


class Naive(PresetConfig):
    """Plain fine-tuning of the whole UNet on the denoising loss."""

    name = "naive"
    settings: ClassVar[dict[str, Any]] = _FULL


class Lora(PresetConfig):
    """Plain LoRA fine-tuning on the denoising loss."""

    name = "lora"
    settings: ClassVar[dict[str, Any]] = DENOISING


class Prompting(PresetConfig):
    """Nothing is trained: the original model, merely asked for the target."""

    name = "prompt"
    settings: ClassVar[dict[str, Any]] = {**DENOISING, "train": {**DENOISING["train"], "steps": 0}}


class AdaLora(PresetConfig):
    """LoRA whose ranks share a budget, with orthogonal factors (AdaLoRA)."""

    name = "adalora"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "adapter": "adalora-adapter",
        "losses": {"denoising": {}, "orthogonality": {}},
        "optimizer": {"learning_rate": 2e-3},
    }


class TokenCompose(PresetConfig):
    """Fine-tuning with the target's attention grounded in masks (TokenCompose); the data needs masks."""

    name = "tokencompose"
    settings: ClassVar[dict[str, Any]] = {
        **_FULL,
        "losses": {"denoising": {}, "token-grounding": {}, "pixel-grounding": {}},
    }


class Magnet(PresetConfig):
    """Plain fine-tuning, sampled with text embeddings that Magnet has drawn apart."""

    name = "magnet"
    settings: ClassVar[dict[str, Any]] = {**_FULL, "editor": "magnet-editor"}


class ClipDirect(PresetConfig):
    """LoRA with direct CLIP supervision of the target's text."""

    name = "clip-direct"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "response": {"name": "clip-direct-supervision", "weight": 0.1},
    }


class Refl(PresetConfig):
    """LoRA with reward feedback on its own pictures (ReFL)."""

    name = "refl"
    settings: ClassVar[dict[str, Any]] = {
        **DENOISING,
        "reward": "clip-reward",
        "losses": {"denoising": {}, "reward-feedback": {"weight": 0.02}},
    }


class ClassImages(PresetConfig):
    """LoRA with prior preservation on pictures that the original draws (DreamBooth)."""

    name = "class-images"
    settings: ClassVar[dict[str, Any]] = {**DENOISING, "losses": {"denoising": {}, "class-preservation": {}}}


class OutputPreservation(PresetConfig):
    """LoRA that predicts what the original predicts under the base text (DOP of ai-toolkit)."""

    name = "dop"
    settings: ClassVar[dict[str, Any]] = {**_REFERRED, "losses": {"denoising": {}, "output-preservation": {}}}


class BlankPreservation(PresetConfig):
    """LoRA that predicts what the original predicts under the empty text (BPP of ai-toolkit)."""

    name = "bpp"
    settings: ClassVar[dict[str, Any]] = {**_REFERRED, "losses": {"denoising": {}, "blank-preservation": {}}}


class MaskedPrior(PresetConfig):
    """LoRA taught inside the data's masks, held to the original outside (OneTrainer)."""

    name = "masked-prior"
    settings: ClassVar[dict[str, Any]] = {
        **_REFERRED,
        "control_map": "mask",
        "losses": {"region-denoising": {"floor": 0.1}, "masked-prior-preservation": {"weight": 0.5}},
    }


class PriorPrediction(PresetConfig):
    """LoRA where half of the rows read the base text and keep the original's prediction (OneTrainer)."""

    name = "prior-prediction"
    settings: ClassVar[dict[str, Any]] = {
        **_REFERRED,
        "control_map": "uniform",
        "losses": {"denoising": {}, "output-alignment": {"rows": "preserved"}},
        "train": {**DENOISING["train"], "base_share": 0.5},
    }


class Slider(PresetConfig):
    """LoRA along the original's own direction of the target, without images (Concept Sliders)."""

    name = "slider"
    settings: ClassVar[dict[str, Any]] = {
        **_REFERRED,
        "losses": {"concept-direction": {}},
        "train": {**DENOISING["train"], "noise_share": 1.0},
    }


class L2Drift(PresetConfig):
    """Fine-tuning of the whole UNet that stays near the original weights (Preserve and Personalize)."""

    name = "l2-drift"
    settings: ClassVar[dict[str, Any]] = {
        **_FULL,
        "losses": {"denoising": {}, "weight-drift": {"weight": 0.01}},
    }


class PureCC(PresetConfig):
    """LoRA, then a new one whose target words only add the direction that the first one learnt (PureCC)."""

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
