"""Adapter tensors in and out: checked against their parameters, and merged into the model's weights."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spf_core.errors import ConfigError, RunError
from spf_core.interfaces import Backbone

_WAY_OUT = "use the backbone and adapter options that the weights were trained with"


def load_into(parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy `state` into `parameters`; RunError names the first missing, surplus or misshapen tensor."""
    check_fits(parameters, state)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])


def check_fits(parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """RunError names the first tensor of `state` that is missing, surplus or misshapen."""
    for name, parameter in parameters.items():
        if name not in state:
            raise RunError(f"the adapter weights lack the tensor '{name}'; {_WAY_OUT}")
        if state[name].shape != parameter.shape:
            saved, wanted = list(state[name].shape), list(parameter.shape)
            raise RunError(f"the adapter tensor '{name}' has shape {saved} instead of {wanted}; {_WAY_OUT}")
    for name in state:
        if name not in parameters:
            raise RunError(f"the adapter weights hold the unknown tensor '{name}'; {_WAY_OUT}")


def opened(backbone: Backbone, *, cross: bool) -> dict[str, nn.Parameter]:
    """The denoiser's parameters, or those where it attends to text, made trainable in float32.

    The rest is frozen. ConfigError for a model without such layers.
    """
    found = {}
    inside = tuple(f"{site.name}." for site in backbone.attention_sites()) if cross else ("",)
    backbone.denoiser.requires_grad_(False)
    for name, parameter in backbone.denoiser.named_parameters():
        if name.startswith(inside):
            parameter.data = parameter.data.to(torch.float32)
            parameter.requires_grad_(True)
            found[name] = parameter
    if not found:
        raise ConfigError("no layer of the base model attends to the text; choose another adapter")
    return found


@torch.no_grad()
def merged_layers(layers: Mapping[str, Any], owner: object) -> dict[str, Tensor]:
    """The weights of PEFT's layers with their updates merged in, which PEFT does on a copy of each layer.

    Hooks of the layers may refer to their `owner`, which is not copied. RunError for quantised weights: what
    is merged into them is rounded as they are.
    """
    if not all(layer.get_base_layer().weight.is_floating_point() for layer in layers.values()):
        raise RunError(
            "the base model is quantised; merge into one that is opened with backbone.quantize=none"
        )
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        both = copy.deepcopy(layer, {id(owner): owner})
        if not both.disable_adapters:
            both.merge()
        weights = both.get_base_layer().named_parameters()
        found |= {f"{name}.{which}": tensor.detach() for which, tensor in weights}
    return found
