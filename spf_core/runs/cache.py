"""Tensors that only the frozen model and the data decide, kept on disk so that every run shares them."""

import hashlib
import inspect
import json
import logging
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import diffusers
import torch
from torch import Tensor

from spf_core import __version__
from spf_core.errors import RunError
from spf_core.interfaces import Backbone
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.utils.paths import cache_folder

_log = logging.getLogger("spf")


@dataclass
class SavedTime:
    """Seconds that making took once, for tensors that were read instead."""

    seconds: float = 0.0


Make = Callable[[], dict[str, Tensor]]
Override = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]  # of the tensors that an entry is made of
_counting: ContextVar[SavedTime | None] = ContextVar("counting", default=None)
_instead: ContextVar[Mapping[str, Override] | None] = ContextVar("instead", default=None)


@contextmanager
def count_saved_time() -> Iterator[SavedTime]:
    """Count what reading spares within the context: a run's cost must not depend on who ran before."""
    spared = SavedTime()
    token = _counting.set(spared)
    try:
        yield spared
    finally:
        _counting.reset(token)


@contextmanager
def cache_override(instead: Mapping[str, Override]) -> Iterator[None]:
    """Within the context nothing is read or written: everything is made, some kinds by `instead`."""
    token = _instead.set(instead)
    try:
        yield
    finally:
        _instead.reset(token)


def cached(
    kind: str,
    backbone: Backbone,
    made_of: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    make: Make,
) -> dict[str, Tensor]:
    """What `make` returns, read from the cache when the very same was made before.

    The key covers the backbone's weights and how they are packed, the kind of device, its precision, library
    versions, the sampling code, the plain values `made_of` and the bytes of `tensors`. An entry that is
    damaged, or says another key than the one it lies under, is made again.
    """
    if (instead := _instead.get()) is not None:
        return instead[kind](tensors) if kind in instead else make()
    plain = {**made_by(backbone), **made_of}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    key = f"{kind}/{digest.hexdigest()[:32]}"
    file = cache_folder() / f"{key}.safetensors"
    found = _read(file, key)
    if found is not None:
        tensors, spent = found
        if (spared := _counting.get()) is not None:
            spared.seconds += spent
        return {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
    started = time.perf_counter()
    made = {name: tensor.contiguous() for name, tensor in make().items()}  # as it will be read back
    seconds = f"{time.perf_counter() - started:.3f}"
    metadata = {"format": "pt", "key": key, "seconds": seconds, "crc32": _checksum(made)}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(file, made, metadata)
    except (OSError, RunError) as error:
        _log.warning("not kept for the next run: %s", error)
    return made


def _read(file: Path, key: str) -> tuple[dict[str, Tensor], float] | None:
    try:
        tensors, metadata = read_safetensors(file)
        if metadata.get("key") != key or metadata.get("crc32") != _checksum(tensors):
            return None
        return tensors, float(metadata.get("seconds", 0))
    except (RunError, ValueError):
        return None


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of names and bytes: the file format itself does not notice a changed byte."""
    found = 0
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(flat.numpy().data, zlib.crc32(name.encode(), found))
    return f"{found:08x}"


def made_by(backbone: Backbone) -> dict[str, object]:
    """What makes a model's output differ: weights and their packing, device, precision, versions, code."""
    kind = backbone.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else backbone.dtype
    return {
        "backbone": backbone.fingerprint(),
        "device": kind,
        "precision": str(precision),
        "quantized": getattr(backbone, "quantized", "none"),
        "versions": [torch.__version__, diffusers.__version__],
        "code": code_version(type(backbone)),
    }


@cache
def code_version(backbone: type) -> str:
    """SHA-256 (first 16 hex digits) over the sources of the sampling and of a backbone's class and its bases.

    spf's version stands for a source that cannot be read, as where only compiled files are installed.
    """
    digest = hashlib.sha256()
    sampling = import_module("spf_core.sampling.sampler").__name__
    for module in dict.fromkeys((sampling, *(each.__module__ for each in backbone.__mro__))):
        digest.update(f"{module}\0{_source(module)}\0".encode())
    return digest.hexdigest()[:16]


def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return __version__
