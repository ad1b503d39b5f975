"""Weights and optimizer sharded over processes by FSDP2, as Accelerate's launcher or settings ask for it.

Every forward pass of the denoiser is then an exchange, so all processes make the same ones.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.interfaces import Adapter, Shardable
from spf_core.plugins.building import built

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.utils import FullyShardedDataParallelPlugin

# What terms may need: the passes for it are the same ones in all processes, whatever chance draws in each.
_SHARED = frozenset({"reference", "attention", "queries", "map", "masks", "counterfactuals", "clean_image"})


def in_shards(adapter: Adapter, config: RunConfig, accelerator: "Accelerator") -> Adapter:
    """The adapter, not attached yet, over a denoiser that the processes will share out."""
    assert isinstance(adapter, Shardable), "others are refused"

    def shard(denoiser: nn.Module) -> None:
        from accelerate.utils.fsdp_utils import fsdp2_prepare_model

        accelerator.state.fsdp_plugin = plugin = _plugin()  # where Accelerate computes on CPUs it has none
        if config.train.precision != "no":
            plugin.set_mixed_precision(config.train.precision)
        with _explain_accelerate_errors():
            fsdp2_prepare_model(accelerator, denoiser)

    return adapter.in_shards(shard)


def refuse_unshardable(config: RunConfig) -> None:
    """ConfigError for settings that do not go with FSDP."""
    plugin = _plugin()
    for refused, reason in _refusals(config, plugin):
        if refused:
            raise ConfigError(f"FSDP: {reason}")


def gathered(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state dict with whole tensors; all call it, the main process gets them."""
    states = {
        key: {name: whole(value) for name, value in state.items()}
        for key, state in optimizer["state"].items()
    }
    return {**optimizer, "state": states}


def scattered(optimizer: Mapping[str, Any], parameters: Sequence[Tensor]) -> dict[str, Any]:
    """An optimizer's whole state dict with this process's shards where the parameters are sharded."""
    states = {
        key: {name: shard_like(value, parameters[key]) for name, value in state.items()}
        for key, state in optimizer["state"].items()
    }
    return {**optimizer, "state": states}


def whole(value: Any) -> Any:
    """A sharded tensor on the main process's CPU, nothing elsewhere; all processes call it. Others stay."""
    if not isinstance(value, DTensor):
        return value
    full = value.full_tensor()
    return full.cpu() if dist.get_rank() == 0 else full.new_empty(0)


def shard_like(value: Any, parameter: Tensor) -> Any:
    """The share of this process in a tensor, cut as the parameter of its shape is; anything else stays."""
    if not (isinstance(value, Tensor) and isinstance(parameter, DTensor) and value.shape == parameter.shape):
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None)


def total(norm: Tensor) -> float:
    """A norm over all shards."""
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


def _plugin() -> "FullyShardedDataParallelPlugin":
    """As the environment describes it; every process has read the whole model itself."""
    from accelerate.utils import FullyShardedDataParallelPlugin

    with _explain_accelerate_errors():
        return FullyShardedDataParallelPlugin(cpu_ram_efficient_loading=False)


@contextmanager
def _explain_accelerate_errors() -> Iterator[None]:
    """ConfigError for settings that Accelerate or torch do not take."""
    try:
        yield
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"FSDP: its settings do not fit ({reason}); start with accelerate launch --use_fsdp "
            "--fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP and no others"
        ) from error


def _refusals(config: RunConfig, plugin: "FullyShardedDataParallelPlugin") -> list[tuple[bool, str]]:
    from torch.distributed.fsdp import CPUOffloadPolicy

    train, reference = config.train, config.reference
    own = sorted(name for name, term in config.terms.items() if term.weight > 0 and term.needs - _SHARED)
    parallel = os.environ.get("ACCELERATE_USE_PARALLELISM_CONFIG", "false").lower() == "true"
    return [
        (plugin.fsdp_version != 2, "version 1 is not supported; give accelerate launch --fsdp_version 2"),
        (
            not isinstance(built(config.adapter), Shardable),
            f"adapter {config.adapter.name} is small and cannot be sharded; leave --use_fsdp out, or choose "
            "one that trains whole weights",
        ),
        (
            isinstance(plugin.cpu_offload, CPUOffloadPolicy),
            "parameters stay on their GPUs; give --fsdp_offload_params false",
        ),
        (
            bool(plugin.activation_checkpointing),
            "--fsdp_activation_checkpointing is not used; set train.gradient_checkpointing=true instead",
        ),
        (plugin.ignored_modules is not None, "--fsdp_ignored_modules is not supported; leave it out"),
        (parallel, "--use_parallelism_config is not supported; leave it out"),
        (
            not config.optimizer.runs_shards,
            f"optimizer.name={config.optimizer.name} is not tested on shards; leave it out for the default",
        ),
        (train.precision == "fp16", "train.precision=fp16 is not supported; use bf16"),
        (train.ema_decay is not None, "train.ema_decay is not supported; leave it out"),
        (train.compile, "train.compile is not supported; set it to false"),
        (
            bool(own),
            f"loss {', '.join(own)} makes passes that processes may not share; leave out it or --use_fsdp",
        ),
        (
            reference is not None and not reference.runs_shards,
            "this reference path does not know sharded weights; choose one that switches the adapter off",
        ),
        (
            config.evaluation.every > 0,
            "purity cannot be measured meanwhile; set evaluation.every=0 and use spf evaluate afterwards",
        ),
        (
            config.calibration.enabled,
            "the handover cannot be calibrated; set calibration.enabled=false and sample.handover",
        ),
        (
            config.distillation.enabled,
            "the handover cannot be distilled; set distillation.enabled=false",
        ),
    ]
