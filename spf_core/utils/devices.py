"""Devices: which there are, their peak memory, and whether an error says that it ran out."""

import os
import resource
from contextlib import suppress
from pathlib import Path

import torch
from accelerate.utils.memory import should_reduce_batch_size

from spf_core.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """`auto` is the best there is; ConfigError when the named device is not available."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if name not in available:
        raise ConfigError(f"unknown device '{name}'; choose auto, {', '.join(available)}")
    if not available[name]:
        raise ConfigError(f"device '{name}' is not available here; use --set train.device=auto")
    return torch.device(name)


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_mib` count from now on, where the system allows it (CUDA, and processes on Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory so far: of the CUDA allocator, or of the process (resident set) elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


_TOO_LARGE = "Storage size calculation overflowed"  # of a tensor that no machine could hold


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator refused: CUDA's, MPS's or the CPU's."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        _TOO_LARGE in str(error) or bool(should_reduce_batch_size(error))
    )
