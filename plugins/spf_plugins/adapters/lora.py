"""LoRA on a UNet and, optionally, on its text encoders: W = W0 + strength * (alpha / rank) B A.

DoRA: W0 + strength * (m W1 / |W1| - W0).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

from spf_core.errors import ConfigError, RunError
from spf_core.export.names import TEXT_1, TEXT_2
from spf_core.interfaces import Backbone, LowRankUpdate, TunesText
from spf_plugins.adapters.peft_layers import ADAPTER, PeftLayers
from spf_plugins.adapters.state import merged_layers
from spf_plugins.adapters.targets import find_targets, find_text_targets

if TYPE_CHECKING:
    from spf_plugins.adapters import LoraAdapter


class Lora(PeftLayers):
    """PEFT's LoRA layers; satisfies `interfaces.Adapter`. A starts from torch's global seed, B at zero."""

    def __init__(self, config: "LoraAdapter") -> None:
        super().__init__()
        self.config = config

    def attach(self, backbone: Backbone) -> None:
        """Add the LoRA layers to the denoiser and the text encoders, and freeze everything else in them."""
        config = self.config
        if config.dora and getattr(backbone, "quantized", "none") == "int8":
            raise ConfigError(
                "adapter.dora reads the base model's weights, which PEFT does not unpack from int8; set "
                "backbone.quantize to nf4 or none"
            )
        targets = find_targets(backbone, config)
        encoders = _text_encoders(backbone) if config.text_encoder else {}
        in_texts = find_text_targets(encoders, config.text_encoder_targets) if encoders else {}
        self._denoiser = backbone.denoiser_name
        self._add(self._denoiser, backbone.denoiser, targets, config.rank)
        for part, names in in_texts.items():
            self._add(part, encoders[part], names, config.text_encoder_rank or config.rank)
        if config.dora:
            for layer in self._layers:
                layer.lora_magnitude_vector[ADAPTER].register_forward_hook(self._scaled)

    def _add(self, part: str, model: nn.Module, targets: Sequence[str], rank: int) -> None:
        model.requires_grad_(False)
        if not targets:
            return
        alpha = rank if self.config.alpha is None else self.config.alpha
        options = LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=list(targets), use_dora=self.config.dora
        )
        self._inject(part, model, options)

    def _scaled(self, _module: nn.Module, _inputs: Any, change: Tensor) -> Tensor:
        """What PEFT adds for DoRA: its own scale would bend it, and leave the sizes changed at 0."""
        return change if self.strength == 1 else self.strength * change

    def text_parameters(self) -> Sequence[nn.Parameter]:
        """Those of the text encoders."""
        parts = (f"{TEXT_1}.", f"{TEXT_2}.")
        return [parameter for name, parameter in self._parameters.items() if name.startswith(parts)]

    def scale(self, strength: float) -> None:
        """Multiply the update by `strength`; at 0 the layers are bypassed and the original is exact."""
        self.strength = strength
        if not self.config.dora:
            for layer in self._layers:
                layer.set_scale(ADAPTER, strength)
        self._enable(strength != 0)

    def drift(self) -> Tensor:
        """|| W - W0 ||_F^2 over all layers; convolutions count as matrices of their patches."""
        return torch.stack([_dora_drift(x) if self.config.dora else _drift(x) for x in self._layers]).sum()

    def updates(self) -> dict[str, LowRankUpdate]:
        """B and A of every layer, with alpha / rank; RunError for variants such as DoRA, which are more."""
        if any(layer.lora_variant for layer in self._layers):
            raise RunError(
                "DoRA also rescales every weight by a magnitude, which diffusers and others drop from a LoRA "
                "file; export it with --merge"
            )
        return {
            name: LowRankUpdate(
                layer.lora_A[ADAPTER].weight.detach().clone(),
                layer.lora_B[ADAPTER].weight.detach().clone(),
                layer.lora_alpha[ADAPTER] / layer.r[ADAPTER],
            )
            for name, layer in self._named.items()
        }

    def merged(self) -> dict[str, Tensor]:
        """The weight of every adapted layer at the present strength, and its bias."""
        found = merged_layers(self._named, self)
        if not self.config.dora or self.strength in (0, 1):
            return found
        original = {
            f"{name}.{which}": tensor.detach()
            for name, layer in self._named.items()
            for which, tensor in layer.get_base_layer().named_parameters()
        }
        return {name: torch.lerp(original[name], found[name], self.strength) for name in found}


def _text_encoders(backbone: Backbone) -> dict[str, nn.Module]:
    """By the names of the pipeline's parts; ConfigError for a backbone that cannot read texts anew."""
    if not isinstance(backbone, TunesText):
        raise ConfigError(
            "adapter.text_encoder: this backbone's texts are encoded only once; set it to false"
        )
    parts = backbone.pipeline().components
    return {name: parts[name] for name in (TEXT_1, TEXT_2) if parts.get(name) is not None}


def _drift(layer: Any) -> Tensor:
    """|| (alpha / rank) B A ||_F^2, without the product."""
    a_RK = layer.lora_A[ADAPTER].weight.flatten(1)
    b_OR = layer.lora_B[ADAPTER].weight.flatten(1)
    square: Tensor = layer.scaling[ADAPTER] ** 2 * ((b_OR.T @ b_OR) * (a_RK @ a_RK.T)).sum()
    return square


def _dora_drift(layer: Any) -> Tensor:
    """|| m W / |W| - W0 ||_F^2 with W = W0 + (alpha / rank) B A."""
    original_OK: Tensor = dequantize_module_weight(layer.get_base_layer()).flatten(1)
    changed_OK: Tensor = original_OK + layer.get_delta_weight(ADAPTER).flatten(1)
    size_O1: Tensor = layer.lora_magnitude_vector[ADAPTER].weight.reshape(-1, 1)
    change_OK: Tensor = size_O1 * changed_OK / changed_OK.norm(dim=1, keepdim=True) - original_OK
    return change_OK.pow(2).sum()
