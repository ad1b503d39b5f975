"""Adapters: what is trainable, and how it is switched off to get the original model back."""

from typing import Any, Literal

from pydantic import Field

from spf_core.components import AdapterConfig
from spf_core.hookspecs import hookimpl


class LoraAdapter(AdapterConfig):
    """Low-rank updates of the attention projections (LoRA), by PEFT."""

    name = "lora-adapter"
    rank: int = Field(8, ge=1, description="rank of each update")
    alpha: float | None = Field(None, gt=0, description="scales updates by alpha / rank; default: the rank")
    targets: tuple[str, ...] = Field(
        ("to_q", "to_k", "to_v", "to_out.0"), min_length=1, description="endings of the adapted layers' names"
    )
    attention: Literal["both", "cross", "self"] = Field("both", description="which layers are adapted")

    def build(self) -> Any:
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.lora import Lora

        return Lora(self)


class CrossAttention(AdapterConfig):
    """Every weight of the cross-attention layers, with the originals kept."""

    name = "cross-attention"

    def build(self) -> Any:
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights(".attn2.")


class FullUnet(AdapterConfig):
    """Every weight of the UNet, with the originals kept."""

    name = "full-unet"

    def build(self) -> Any:
        """Return the adapter, not attached yet."""
        from spf_plugins.adapters.weights import Weights

        return Weights("")


@hookimpl
def spf_register_adapters() -> list[type[AdapterConfig]]:
    """Register the adapters of this group."""
    return [LoraAdapter, CrossAttention, FullUnet]
