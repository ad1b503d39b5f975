"""What LoRA and AdaLoRA have in common: layers that PEFT puts into a model, and how they are switched off."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from spf_core.export.names import UNET, text_layer
from spf_plugins.adapters.state import load_into

ADAPTER = "default"


class PeftLayers:
    """PEFT's layers by part and name, and what they train; the base of adapters that are made of them."""

    def __init__(self) -> None:
        self.strength = 1.0
        self._enabled = True
        self._named: dict[str, Any] = {}
        self._parameters: dict[str, nn.Parameter] = {}

    @property
    def _layers(self) -> list[Any]:
        return list(self._named.values())

    def _inject(self, part: str, model: nn.Module, options: PeftConfig) -> None:
        """Put the layers into one part of the pipeline, of which nothing else is trained."""
        inject_adapter_in_model(options, model, ADAPTER)
        layers = {f"{part}.{name}": each for name, each in model.named_modules()}
        self._named |= {name: each for name, each in layers.items() if isinstance(each, BaseTunerLayer)}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.float32)
                self._parameters[_key(part, name.replace(f".{ADAPTER}", ""))] = parameter

    def parameters(self) -> Iterable[nn.Parameter]:
        """The factors of every adapted layer."""
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

    def _enable(self, enabled: bool) -> None:
        self._enabled = enabled
        for layer in self._layers:
            layer.enable_adapters(enabled)

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the trained values under PEFT's names, such as `mid_block...attn2.to_q.lora_A.weight`."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        load_into(self._parameters, state)


def _key(part: str, name: str) -> str:
    """As weights files have it: plain in the UNet, elsewhere with the part and no trace of transformers."""
    return name if part == UNET else f"{part}.{text_layer(name)}"
