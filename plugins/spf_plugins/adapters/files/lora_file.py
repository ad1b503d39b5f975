"""A LoRA file of any trainer on a backbone: y + strength * (what its update adds), by hooks of the layers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from spf_core.errors import RunError
from spf_core.interfaces import Backbone, LowRankUpdate
from spf_core.sampling.composition import low_rank_change
from spf_plugins.adapters.files.differences import Difference
from spf_plugins.adapters.files.reading import Layer, read_layers
from spf_plugins.adapters.state import load_into


class LoraFile:
    """The updates of a file; satisfies `interfaces.Adapter`, `LowRank` and `Mergeable`.

    No module is replaced, so that `detach` leaves the backbone as it was. The weights are not trained.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.strength = 1.0
        self._enabled = True
        self._layers: list[Layer] = []
        self._hooks: list[RemovableHandle] = []
        self._parameters: dict[str, nn.Parameter] = {}

    def attach(self, backbone: Backbone) -> None:
        """Read the file and hook its updates to the layers; RunError when it does not fit the backbone."""
        for layer in read_layers(self.file, backbone):
            change = _Change(layer, self)
            self._layers.append(layer)
            self._parameters |= {f"{layer.key}.{name}": each for name, each in change.tensors.items()}
            self._hooks.append(layer.module.register_forward_hook(change))

    def detach(self) -> None:
        """Take the hooks away again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    @property
    def present_strength(self) -> float:
        """By which every change counts now; 0 leaves each layer's output as it is."""
        return self.strength if self._enabled else 0.0

    def parameters(self) -> Iterable[nn.Parameter]:
        """The tensors of every update, which need no gradient."""
        return self._parameters.values()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        before, self._enabled = self._enabled, False
        try:
            yield
        finally:
            self._enabled = before

    def scale(self, strength: float) -> None:
        """Multiply the update by `strength`; at 0 nothing is added and the original is exact."""
        self.strength = strength

    def updates(self) -> dict[str, LowRankUpdate]:
        """The factors of every layer with alpha / rank; RunError where a layer's update is no plain LoRA."""
        found = {}
        for layer in self._layers:
            if not isinstance(layer.update, LowRankUpdate):
                raise RunError(
                    f"'{self.file}' changes '{layer.key}' by more than a plain LoRA (DoRA, LoHa, LoKr or a "
                    "difference of weights), which a LoRA file of diffusers cannot hold; "
                    "use the file as it is"
                )
            found[layer.key] = layer.update
        return found

    @torch.no_grad()
    def merged(self) -> dict[str, Tensor]:
        """The weight of every changed layer at the present strength, and its bias."""
        found = {}
        for layer in self._layers:
            changes = _dense(layer.update, layer.module.weight.shape)
            for name, own in layer.module.named_parameters(recurse=False):
                moved = own.detach().clone()
                if name in changes:
                    moved += self.present_strength * changes[name].to(own)
                found[f"{layer.key}.{name}"] = moved
        return found

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the tensors, by layer and part of the update."""
        return {name: each.detach().clone() for name, each in self._parameters.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        load_into(self._parameters, state)


def _dense(update: LowRankUpdate | Difference, shape: torch.Size) -> dict[str, Tensor]:
    """The update as differences of weight and bias."""
    if isinstance(update, Difference):
        changes = {"weight": update.weight, "bias": update.bias}
        return {name: each for name, each in changes.items() if each is not None}
    product = update.up.flatten(1) @ update.down.flatten(1)
    return {"weight": update.scale * product.reshape(shape)}


class _Change:
    """The hook of one layer; its tensors are where the layer is."""

    def __init__(self, layer: Layer, owner: LoraFile) -> None:
        self._owner, self._update = owner, layer.update
        place = layer.module.weight.device
        parts: dict[str, Tensor | None] = (
            {"lora_A.weight": layer.update.down, "lora_B.weight": layer.update.up}
            if isinstance(layer.update, LowRankUpdate)
            else {"diff": layer.update.weight, "diff_b": layer.update.bias}
        )
        self.tensors = {
            name: nn.Parameter(tensor.to(place), requires_grad=False)
            for name, tensor in parts.items()
            if tensor is not None
        }

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        strength = self._owner.present_strength
        if strength == 0:
            return output
        x = inputs[0].to(torch.float32)
        if isinstance(self._update, LowRankUpdate):
            here = LowRankUpdate(
                self.tensors["lora_A.weight"], self.tensors["lora_B.weight"], self._update.scale
            )
            change = low_rank_change(layer, here, x) * (strength * self._update.scale)
        else:
            change = strength * _computed(layer, x, self.tensors.get("diff"), self.tensors.get("diff_b"))
        return (output + change).to(output.dtype)


def _computed(layer: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """What the layer would give with other weights: it is linear in weight and bias, norms included."""
    zero = torch.zeros_like(layer.weight, dtype=torch.float32)
    if isinstance(layer, nn.Linear):
        return F.linear(x, zero if weight is None else weight, bias)
    if isinstance(layer, nn.Conv2d):
        convolved: Tensor = layer._conv_forward(x, zero if weight is None else weight, bias)
        return convolved
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, zero if weight is None else weight, bias, layer.eps)
    return F.layer_norm(x, layer.normalized_shape, zero if weight is None else weight, bias, layer.eps)
