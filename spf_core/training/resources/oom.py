"""Explains out-of-memory errors: the peak, and settings that need less."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from spf_core.utils.devices import is_out_of_memory, peak_memory_mib

WAYS = 3


@contextmanager
def explain_oom(config: RunConfig, backbone: Backbone) -> Iterator[None]:
    """RunError in an allocator's place: peak, batch, resolution and three ways out that are left."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        peak, size = peak_memory_mib(backbone.device), backbone.image_size
        raise RunError(
            f"out of memory on {backbone.device}: peak {peak:.0f} MiB with "
            f"train.batch_size={config.train.batch_size} at {size} x {size} pixels; try "
            f"{', '.join(ways_out(config, backbone)[:WAYS])}; the last checkpoint stays"
        ) from error


def ways_out(config: RunConfig, backbone: Backbone) -> list[str]:
    """Settings that need less memory, those that change the result least first."""
    train, ways = config.train, []
    if train.batch_size > 1:
        half = train.batch_size // 2
        times = -(-train.batch_size * train.accumulation // half)
        ways.append(f"train.batch_size={half} with train.accumulation={times}")
    if not train.gradient_checkpointing:
        ways.append("train.gradient_checkpointing=true")
    if hasattr(config.backbone, "dtype") and backbone.dtype == torch.float32:
        ways.append("backbone.dtype=bfloat16")
    if train.precision == "no":
        ways.append("train.precision=bf16")
    size = getattr(config.response, "decode_size", 0)
    if size > 64:
        ways.append(f"response.decode_size={size // 2}")
    if config.adapter.tunes_texts:
        ways.append("adapter.text_encoder=false")
    rank = getattr(config.adapter, "rank", 1)
    if rank > 1:
        ways.append(f"adapter.rank={rank // 2}")
    return [*ways, "another program's memory freed", "a smaller backbone", "a device with more memory"]
