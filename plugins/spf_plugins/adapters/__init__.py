"""Adapters: what is trainable, and how it is switched off to get the original model back."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from spf_core.plugins import AdapterConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Adapter

LARGEST_RANK = 2**16  # beyond the width of every layer that there is


class LowRank(AdapterConfig):
    """What adapters by PEFT have in common: which layers they adapt."""

    targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"),
        min_length=1,
        description="endings of the adapted layers' names, or patterns of names, as in up_blocks.*.to_v",
    )
    attention: Literal["both", "cross", "self"] = Field("both", description="which layers are adapted")


class LoraAdapter(LowRank):
    """Low-rank updates of the attention projections (LoRA, DoRA), of text encoders too, by PEFT."""

    name = "lora-adapter"
    rank: int = Field(8, ge=1, le=LARGEST_RANK, description="rank of each update")
    alpha: float | None = Field(None, gt=0, description="scales updates by alpha / rank; default: the rank")
    dora: bool = Field(False, description="learn the size of each row of a weight apart (DoRA, 2402.09353)")
    text_encoder: bool = Field(
        False,
        description="adapt the text encoder too, SDXL's both (see optimizer.text_encoder_learning_rate)",
    )
    text_encoder_rank: int | None = Field(
        None, ge=1, le=LARGEST_RANK, description="rank of updates there; default: rank"
    )
    text_encoder_targets: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "out_proj"),
        min_length=1,
        description="endings of the layers' names there, or patterns, as in text_model.encoder.layers.1?.*",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "LoraAdapter":
        for option in ("text_encoder_rank", "text_encoder_targets"):
            if not self.text_encoder and getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(f"{option} is read with text_encoder=true alone; set that, or leave it out")
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
    """Low-rank updates that share one budget of ranks, the least important are dropped (AdaLoRA), by PEFT."""

    name = "adalora-adapter"
    init_rank: int = Field(12, ge=1, le=LARGEST_RANK, description="rank of each update at first")
    target_rank: int = Field(8, ge=1, le=LARGEST_RANK, description="mean rank at the end")
    alpha: float | None = Field(None, gt=0, description="scale of the updates; default: the first rank")
    warmup: float = Field(0.1, ge=0, lt=1, description="fraction of training before ranks are dropped")
    settle: float = Field(0.3, gt=0, lt=1, description="fraction of training after the last one is dropped")
    every: int = Field(1, ge=1, description="optimizer steps between allocations")
    beta: float = Field(0.85, gt=0, lt=1, description="decay of the importance scores")

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
    """Every weight of the cross-attention layers, with the originals kept."""

    name = "cross-attention"

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights(cross=True)


class FullUnet(AdapterConfig):
    """Every weight of the UNet, with the originals kept."""

    name = "full-unet"

    def build(self) -> "Adapter":
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights()


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    for config in (LoraAdapter, AdaLoraAdapter, CrossAttention, FullUnet):
        register(config)
