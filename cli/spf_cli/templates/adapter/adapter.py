"""What is trained, and how it changes the layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from torch import Tensor, nn


class NewThingAdapter:
    """y = (1 + strength g) * layer(x) with a trained gain g for each channel, which starts at 0."""

    def __init__(self, targets: Sequence[str]) -> None:
        self.targets = tuple(targets)
        self.gains: dict[str, nn.Parameter] = {}
        self.strength = 1.0

    def attach(self, backbone: Backbone) -> None:
        """Make a gain for each layer; everything else of the backbone is frozen."""
        backbone.denoiser.requires_grad_(False)
        for name, layer in backbone.denoiser.named_modules():
            if isinstance(layer, nn.Linear) and name.endswith(self.targets):
                gain = torch.zeros(layer.out_features, device=layer.weight.device)
                self.gains[name] = nn.Parameter(gain)
                layer.register_forward_hook(self._hook(name))

    def _hook(self, name: str) -> Any:
        def scaled(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if self.strength == 0:
                return None  # the output as it is, to the bit
            return output * (1 + self.strength * self.gains[name]).to(output.dtype)

        return scaled

    def parameters(self) -> Iterator[nn.Parameter]:
        """The gains, float32."""
        yield from self.gains.values()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        before, self.strength = self.strength, 0.0
        try:
            yield
        finally:
            self.strength = before

    def scale(self, strength: float) -> None:
        """Set the strength: 0 is the original model exactly, 1 the trained one."""
        self.strength = strength

    def state_dict(self) -> dict[str, Tensor]:
        """The gains, keyed by the layers' names."""
        return {name: gain.detach() for name, gain in self.gains.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`; RunError names a missing, surplus or misshapen tensor."""
        for name in self.gains.keys() ^ state.keys():
            raise RunError(f"the weights and the adapter differ in '{name}'; choose the options of the run")
        with torch.no_grad():
            for name, gain in self.gains.items():
                if state[name].shape != gain.shape:
                    raise RunError(
                        f"'{name}' has shape {list(state[name].shape)}, not {list(gain.shape)}; "
                        "choose the backbone of the run"
                    )
                gain.copy_(state[name])
