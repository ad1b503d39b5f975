"""Weights of the UNet in FSDP's shards: each process keeps its share of the trained and the original ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone
from spf_core.training.sharding import shard_like, whole
from spf_plugins.adapters.state import check_fits, opened


class ShardedWeights:
    """`Weights` in shards, for training; satisfies `interfaces.Adapter`.

    What is gathered for a pass is copied from the shards, so the original and the trained values take turns
    in them. That happens outside of what the backward pass needs: it gathers again.
    """

    def __init__(self, cross: bool, shard: Callable[[nn.Module], None]) -> None:
        self.cross, self._shard = cross, shard
        self._parameters: dict[str, nn.Parameter] = {}
        self._other: dict[str, Tensor] = {}  # the values that are not in the parameters now
        self._units: list[FSDPModule] = []
        self._disabled = False

    def attach(self, backbone: Backbone) -> None:
        """Shard the denoiser, make the parameters trainable and keep copies of the originals' shards."""
        names = set(opened(backbone, cross=self.cross))
        self._shard(backbone.denoiser)
        self._units = [module for module in backbone.denoiser.modules() if isinstance(module, FSDPModule)]
        parameters = backbone.denoiser.named_parameters()  # new ones
        self._parameters = {name: parameter for name, parameter in parameters if name in names}
        self._other = {name: _local(parameter).clone() for name, parameter in self._parameters.items()}

    def parameters(self) -> Iterable[nn.Parameter]:
        """The trainable weights, sharded."""
        return self._parameters.values()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within the context the backbone computes exactly the original model."""
        if self._disabled:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def scale(self, strength: float) -> None:
        """Sharded weights are at strength 1 only."""
        if strength != 1:
            raise ConfigError("FSDP: a model in shards has no strength; sample the finished run")

    def drift(self) -> Tensor:
        """No term can read it."""
        raise ConfigError(
            "FSDP: || W - W0 || of sharded weights is not supported; leave out the loss that needs it"
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The trained weights on the main process, empty tensors elsewhere; all processes call it."""
        return {name: whole(parameter.detach()) for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the whole tensors of `state_dict()`; RunError as `Weights` has it."""
        check_fits(self._parameters, state)
        for name, parameter in self._parameters.items():
            parameter.copy_(shard_like(state[name], parameter))
        self._forget()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            shard, other = _local(parameter), self._other[name]
            shown = shard.clone()
            shard.copy_(other)
            other.copy_(shown)
        self._disabled = not self._disabled
        self._forget()

    def _forget(self) -> None:
        """Drop what was gathered of the values before."""
        for unit in self._units:
            unit.reshard()


def _local(parameter: Tensor) -> Tensor:
    assert isinstance(parameter, DTensor)
    shard: Tensor = parameter.detach().to_local()  # type: ignore[attr-defined]
    return shard
