"""Adapters: the weights that training changes, and how to switch them off."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from spf_core.errors import ConfigError
from spf_core.plugins import AdapterConfig, Register, UserPath, hookimpl

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig
    from spf_core.interfaces import Adapter

LARGEST_RANK = 2**16  # beyond the width of every layer that there is


class LowRank(AdapterConfig):
    """What adapters by PEFT have in common: which layers they adapt."""

    targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"),
        min_length=1,
        description="Names of the adapted layers: endings, or patterns as in up_blocks.*.to_v.",
    )
    attention: Literal["both", "cross", "self"] = Field(
        "both", description="Which attention layers to adapt."
    )


class LoraAdapter(LowRank):
    """Low-rank updates of attention layers (LoRA, DoRA), optionally of text encoders too, by PEFT."""

    name = "lora-adapter"
    rank: int = Field(8, ge=1, le=LARGEST_RANK, description="Rank of each update.")
    alpha: float | None = Field(
        None, gt=0, description="Scales the updates by alpha / rank. By default, alpha equals the rank."
    )
    dora: bool = Field(
        False, description="Train the magnitude of each weight row separately (DoRA, 2402.09353)."
    )
    text_encoder: bool = Field(
        False,
        description="Adapt the text encoder too; for SDXL, both. See optimizer.text_encoder_learning_rate.",
    )
    text_encoder_rank: int | None = Field(
        None,
        ge=1,
        le=LARGEST_RANK,
        description="Rank of the updates of text encoders. By default, the same as rank.",
    )
    text_encoder_targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "out_proj"),
        min_length=1,
        description="Names of the adapted layers of text encoders: endings, or patterns as in "
        "text_model.encoder.layers.1?.*",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "LoraAdapter":
        for option in ("text_encoder_rank", "text_encoder_targets"):
            if not self.text_encoder and getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(
                    f"{option} takes effect only with text_encoder=true; set that, or leave it out"
                )
        return self

    @property
    def tunes_texts(self) -> bool:
        """Whether the text encoders are adapted."""
        return self.text_encoder

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.lora import Lora

        return Lora(self)


class AdaLoraAdapter(LowRank):
    """Low-rank updates that share a budget of ranks and drop the least important ones (AdaLoRA, by PEFT)."""

    name = "adalora-adapter"
    init_rank: int = Field(12, ge=1, le=LARGEST_RANK, description="Rank of each update at the start.")
    target_rank: int = Field(8, ge=1, le=LARGEST_RANK, description="Mean rank at the end.")
    alpha: float | None = Field(
        None, gt=0, description="Scales the updates by alpha / rank. By default, alpha equals init_rank."
    )
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Fraction of training before AdaLoRA drops the first rank."
    )
    settle: float = Field(
        0.3, gt=0, lt=1, description="Fraction of training after AdaLoRA drops the last rank."
    )
    every: int = Field(1, ge=1, description="Number of optimizer steps between allocations of ranks.")
    beta: float = Field(0.85, gt=0, lt=1, description="Decay of the moving averages of importance scores.")

    @model_validator(mode="after")
    def _consistent(self) -> "AdaLoraAdapter":
        if self.target_rank >= self.init_rank:
            raise ValueError(f"target_rank={self.target_rank} must lie below init_rank={self.init_rank}")
        if self.warmup + self.settle >= 1:
            raise ValueError(f"warmup={self.warmup} and settle={self.settle} leave no time to drop ranks")
        return self

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.adalora import AdaLora

        return AdaLora(self)


class CrossAttention(AdapterConfig):
    """Every weight of the cross-attention layers. The adapter keeps the base weights."""

    name = "cross-attention"
    needs_plain_weights = True

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights(cross=True)


class FullUnet(AdapterConfig):
    """Every weight of the UNet. The adapter keeps the base weights, and switches back to them."""

    name = "full-unet"
    needs_plain_weights = True

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights()


class LoraFileAdapter(AdapterConfig):
    """The updates of a LoRA file of any trainer, to be sampled and measured. Nothing is trained."""

    name = "lora-file"
    needs_plain_weights = True
    path: UserPath = Field(description="File of a LoRA, DoRA, LoHa or LoKr, as .safetensors.")

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.files.lora_file import LoraFile

        return LoraFile(Path(self.path))


class WeightsFileAdapter(AdapterConfig):
    """The weights of a fine-tuned model, to be sampled and measured. Nothing is trained."""

    name = "weights-file"
    needs_plain_weights = True
    path: UserPath = Field(description="Single .safetensors file, or folder in diffusers' layout.")

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.files.weights_file import WeightsFile

        return WeightsFile(Path(self.path))


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (
        LoraAdapter,
        AdaLoraAdapter,
        CrossAttention,
        FullUnet,
        LoraFileAdapter,
        WeightsFileAdapter,
    ):
        register(config)


@hookimpl
def spf_before_fit(config: "RunConfig") -> None:
    """Refuse to train what is only read."""
    if isinstance(config.adapter, LoraFileAdapter | WeightsFileAdapter):
        raise ConfigError(
            f"adapter '{config.adapter.name}' reads weights and trains none; choose another to train, as "
            "lora-adapter, or measure the file with spf score"
        )
