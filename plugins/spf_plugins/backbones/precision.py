"""Number formats of a frozen backbone: which one it is kept in, and where it must compute in another."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def chosen_dtype(name: str) -> torch.dtype:
    """The dtype that `backbone.dtype` names; `auto` is bfloat16 where a CUDA device computes in it."""
    if name == "auto":
        native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def computing_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to half-precision weights' own dtype, so that they mix with float32 adapters and inputs."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def never_in_float16(device: torch.device) -> AbstractContextManager[Any]:
    """Without autocast where that would compute in float16, whose range ends at 65504."""
    kind = device.type
    overflows = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
    return torch.autocast(kind, enabled=False) if overflows else nullcontext()
