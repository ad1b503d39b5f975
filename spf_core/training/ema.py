"""A moving average of the trained weights (EMA): what a run is judged by and ends with, never trained on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.interfaces import Adapter, AllocatesRank


class EMA:
    """average <- d average + (1 - d) weights after step n, with d = min(decay, n / (9 + n)), and 0 at n = 1.

    By diffusers' EMAModel; satisfies `interfaces.Stateful`.
    """

    def __init__(self, adapter: Adapter, decay: float) -> None:
        """Begin with the adapter's weights; ConfigError where their average would be another adapter."""
        if isinstance(adapter, AllocatesRank):
            raise ConfigError(
                "train.ema_decay: this adapter drops ranks, and an average would bring them back; "
                "leave train.ema_decay out, or choose an adapter whose ranks stay"
            )
        self._parameters = list(adapter.parameters())
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Begin again with the weights as they are now."""
        self._ema = EMAModel(self._parameters, decay=self._decay)

    def update(self) -> None:
        """Take the weights after an optimizer step in."""
        self._ema.step(self._parameters)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within the context the adapter has the averaged weights."""
        self._ema.store(self._parameters)
        self._ema.copy_to(self._parameters)
        try:
            yield
        finally:
            self._ema.restore(self._parameters)

    def state_dict(self) -> dict[str, Tensor]:
        """The average, in the order of the adapter's parameters, and the steps it has seen."""
        averages = {f"{number:05d}": tensor for number, tensor in enumerate(self._ema.shadow_params)}
        return {**averages, "steps": torch.tensor(self._ema.optimization_step)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore `state_dict()`."""
        self._ema.optimization_step = int(state["steps"])
        for number, average in enumerate(self._ema.shadow_params):
            average.copy_(state[f"{number:05d}"])
