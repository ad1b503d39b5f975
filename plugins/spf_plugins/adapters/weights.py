"""Training weights of the denoiser themselves, with the originals kept: W0 + strength * (W - W0)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spf_core.interfaces import Adapter, Backbone
from spf_plugins.adapters.state import load_into, opened


class Weights:
    """All of the denoiser's parameters, or those of its `cross`-attention; satisfies `interfaces.Adapter`.

    The original and the trained tensors take turns as a parameter's storage. Nothing is written in place,
    so switching between the forward and the backward pass leaves the gradients right.
    """

    def __init__(self, *, cross: bool = False) -> None:
        self.cross = cross
        self.strength = 1.0
        self._part = ""  # of the pipeline
        self._parameters: dict[str, nn.Parameter] = {}
        self._original: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}

    def attach(self, backbone: Backbone) -> None:
        """Make the parameters trainable, freeze the rest of the denoiser and keep copies of the originals."""
        self._part = backbone.denoiser_name
        self._parameters = opened(backbone, cross=self.cross)
        self._original = {name: each.detach().clone() for name, each in self._parameters.items()}

    def in_shards(self, shard: Callable[[nn.Module], None]) -> Adapter:
        """The same adapter, not attached yet, over a denoiser that `shard` shares out."""
        from spf_plugins.adapters.sharded import ShardedWeights

        return ShardedWeights(self.cross, shard)

    def parameters(self) -> Iterable[nn.Parameter]:
        """The trainable weights."""
        return self._parameters.values()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        current = {name: parameter.data for name, parameter in self._parameters.items()}
        self._show(self._original)
        try:
            yield
        finally:
            self._show(current)

    def scale(self, strength: float) -> None:
        """Set the strength; training needs 1, where the parameters are the trained tensors themselves."""
        trained = self._trained_tensors()
        self._trained = {} if strength == 1 else trained
        self._show(trained if strength == 1 else self._blend(trained, strength))
        self.strength = strength

    def drift(self) -> Tensor:
        """|| W - W0 ||_F^2 over all trained weights."""
        squares = [
            (parameter - self._original[name].to(parameter.device)).pow(2).sum()
            for name, parameter in self._parameters.items()
        ]
        return torch.stack(squares).sum()

    def merged(self) -> dict[str, Tensor]:
        """The weights as they stand, W0 + strength * (W - W0)."""
        return {
            f"{self._part}.{name}": parameter.detach().clone() for name, parameter in self._parameters.items()
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the trained weights, whatever the strength."""
        return {name: tensor.clone() for name, tensor in self._trained_tensors().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        load_into(self._trained_tensors(), state)
        self.scale(self.strength)

    def _trained_tensors(self) -> dict[str, Tensor]:
        return self._trained or {name: parameter.data for name, parameter in self._parameters.items()}

    def _blend(self, trained: Mapping[str, Tensor], strength: float) -> dict[str, Tensor]:
        if strength == 0:
            return self._original
        return {
            name: original + strength * (trained[name] - original.to(trained[name].device))
            for name, original in self._original.items()
        }

    def _show(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.data = tensors[name].to(parameter.device)
