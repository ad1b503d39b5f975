"""LoRA on a UNet: W0 + strength * (alpha / rank) B A."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from spf_core.errors import ConfigError, RunError, did_you_mean
from spf_core.interfaces import Backbone, LowRankUpdate
from spf_plugins.adapters import LoraAdapter, LowRank
from spf_plugins.adapters.state import layers_of, load_into, merged_layers

ADAPTER = "default"
_BLOCKS = {"both": ("",), "cross": (".attn2.",), "self": (".attn1.",)}


def find_targets(unet: nn.Module, config: LowRank) -> list[str]:
    """Names of the layers that `config` adapts; ConfigError for a target that no layer has."""
    layers = [name for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    found: list[str] = []
    for target in config.targets:
        matches = [
            name
            for name in layers
            if f".{name}".endswith(f".{target}") and any(block in name for block in _BLOCKS[config.attention])
        ]
        if not matches:
            endings = {name.rpartition(".")[2] for name in layers} - {"0"} | {"to_out.0"}
            where = "" if config.attention == "both" else f" in {config.attention}-attention"
            raise ConfigError(
                f"adapter.targets: no layer{where} ends with '{target}'.{did_you_mean(target, endings)} "
                "Attention layers end with to_q, to_k, to_v and to_out.0"
            )
        found += matches
    return list(dict.fromkeys(found))


class Lora:
    """PEFT's LoRA layers; satisfies `interfaces.Adapter`. A starts from torch's global seed, B at zero."""

    def __init__(self, config: LoraAdapter) -> None:
        self.config = config
        self.strength = 1.0
        self._enabled = True
        self._named: dict[str, Any] = {}
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def _layers(self) -> list[Any]:
        return list(self._named.values())

    def attach(self, backbone: Backbone) -> None:
        """Add the LoRA layers to the denoiser and freeze everything else in it."""
        unet: Any = backbone.denoiser
        targets = find_targets(unet, self.config)
        unet.requires_grad_(False)
        alpha = self.config.rank if self.config.alpha is None else self.config.alpha
        unet.add_adapter(LoraConfig(r=self.config.rank, lora_alpha=alpha, target_modules=targets), ADAPTER)
        self._named = layers_of("unet", unet, BaseTunerLayer)
        for name, parameter in unet.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
                self._parameters[name.replace(f".{ADAPTER}.", ".")] = parameter

    def parameters(self) -> Iterable[nn.Parameter]:
        """The factors A and B of every adapted layer."""
        return self._parameters.values()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        before = self._enabled
        self._enable(False)
        try:
            yield
        finally:
            self._enable(before)

    def scale(self, strength: float) -> None:
        """Multiply the update by `strength`; at 0 the layers are bypassed and the original is exact."""
        self.strength = strength
        for layer in self._layers:
            layer.set_scale(ADAPTER, strength)
        self._enable(strength != 0)

    def _enable(self, enabled: bool) -> None:
        self._enabled = enabled
        for layer in self._layers:
            layer.enable_adapters(enabled)

    def drift(self) -> Tensor:
        """|| (alpha / rank) B A ||_F^2 over all layers; convolutions count as matrices of their patches."""
        squares = []
        for layer in self._layers:
            a_RK = layer.lora_A[ADAPTER].weight.flatten(1)
            b_OR = layer.lora_B[ADAPTER].weight.flatten(1)
            squares.append(layer.scaling[ADAPTER] ** 2 * ((b_OR.T @ b_OR) * (a_RK @ a_RK.T)).sum())
        return torch.stack(squares).sum()

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
        """W0 + strength * (alpha / rank) B A of every adapted layer, and its bias."""
        return merged_layers(self._named)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of A and B under PEFT's names, such as `mid_block...attn2.to_q.lora_A.weight`."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        load_into(self._parameters, state)
