"""LoRA on a UNet: W = W0 + strength * (alpha / rank) B A. DoRA: W0 + strength * (m W1 / |W1| - W0)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
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
            if _matches(name, target) and any(block in name for block in _BLOCKS[config.attention])
        ]
        if not matches:
            endings = {name.rpartition(".")[2] for name in layers} - {"0"} | {"to_out.0"}
            where = "" if config.attention == "both" else f" in {config.attention}-attention"
            how = "matches" if _is_pattern(target) else "ends with"
            raise ConfigError(
                f"adapter.targets: no layer{where} {how} '{target}'.{did_you_mean(target, endings)} "
                "Attention layers end with to_q, to_k, to_v and to_out.0"
            )
        found += matches
    return list(dict.fromkeys(found))


def _is_pattern(target: str) -> bool:
    return any(sign in target for sign in "*?[")


def _matches(name: str, target: str) -> bool:
    return fnmatchcase(name, target) if _is_pattern(target) else f".{name}".endswith(f".{target}")


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
        options = LoraConfig(
            r=self.config.rank, lora_alpha=alpha, target_modules=targets, use_dora=self.config.dora
        )
        unet.add_adapter(options, ADAPTER)
        self._named = layers_of("unet", unet, BaseTunerLayer)
        for name, parameter in unet.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
                self._parameters[name.replace(f".{ADAPTER}.", ".")] = parameter
        if self.config.dora:
            for layer in self._layers:
                layer.lora_magnitude_vector[ADAPTER].register_forward_hook(self._scaled)

    def _scaled(self, _module: nn.Module, _inputs: Any, change: Tensor) -> Tensor:
        """What PEFT adds for DoRA: its own scale would bend it, and leave the sizes changed at 0."""
        return change if self.strength == 1 else self.strength * change

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
        if not self.config.dora:
            for layer in self._layers:
                layer.set_scale(ADAPTER, strength)
        self._enable(strength != 0)

    def _enable(self, enabled: bool) -> None:
        self._enabled = enabled
        for layer in self._layers:
            layer.enable_adapters(enabled)

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
        found = merged_layers(self._named)
        if not self.config.dora or self.strength in (0, 1):
            return found
        original = {
            f"{name}.{which}": tensor.detach()
            for name, layer in self._named.items()
            for which, tensor in layer.get_base_layer().named_parameters()
        }
        return {name: torch.lerp(original[name], found[name], self.strength) for name in found}

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of A, B and DoRA's m under PEFT's names, such as `mid_block...attn2.to_q.lora_A.weight`."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        load_into(self._parameters, state)


def _drift(layer: Any) -> Tensor:
    """|| (alpha / rank) B A ||_F^2, without the product."""
    a_RK = layer.lora_A[ADAPTER].weight.flatten(1)
    b_OR = layer.lora_B[ADAPTER].weight.flatten(1)
    square: Tensor = layer.scaling[ADAPTER] ** 2 * ((b_OR.T @ b_OR) * (a_RK @ a_RK.T)).sum()
    return square


def _dora_drift(layer: Any) -> Tensor:
    """|| m W / |W| - W0 ||_F^2 with W = W0 + (alpha / rank) B A."""
    original_OK: Tensor = layer.get_base_layer().weight.flatten(1)
    changed_OK: Tensor = original_OK + layer.get_delta_weight(ADAPTER).flatten(1)
    size_O1: Tensor = layer.lora_magnitude_vector[ADAPTER].weight.reshape(-1, 1)
    change_OK: Tensor = size_O1 * changed_OK / changed_OK.norm(dim=1, keepdim=True) - original_OK
    return change_OK.pow(2).sum()
