"""Tensors that only the frozen model and the data decide, kept on disk so that every run shares them."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import diffusers
import torch
from torch import Tensor

from spf_core.checkpoint import read_safetensors, write_safetensors
from spf_core.errors import RunError
from spf_core.interfaces import Backbone

_log = logging.getLogger("spf")


def cache_folder() -> Path:
    """$SPF_CACHE, or ~/.cache/spf."""
    chosen = os.environ.get("SPF_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "spf"


def kept(
    kind: str,
    backbone: Backbone,
    made_of: Mapping[str, object],
    tensors: Mapping[str, Tensor],
    make: Callable[[], dict[str, Tensor]],
) -> dict[str, Tensor]:
    """What `make` returns, read from the cache when the very same was made before.

    The key covers the backbone's weights, the kind of device, its precision, library versions, the plain
    values `made_of` and the bytes of `tensors`. A damaged entry is made again.
    """
    plain = {**made_by(backbone), **made_of}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.detach().float().cpu().contiguous().numpy().tobytes())
    file = cache_folder() / kind / f"{digest.hexdigest()[:32]}.safetensors"
    found = _read(file)
    if found is not None:
        return {name: tensor.to(backbone.device) for name, tensor in found.items()}
    made = {name: tensor.contiguous() for name, tensor in make().items()}  # as it will be read back
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_safetensors(file, made, {"format": "pt"})
    except (OSError, RunError) as error:
        _log.warning("not kept for the next run: %s", error)
    return made


def _read(file: Path) -> dict[str, Tensor] | None:
    try:
        return read_safetensors(file)[0]
    except RunError:
        return None


def made_by(backbone: Backbone) -> dict[str, object]:
    """What makes a model's output differ between machines: weights, kind of device, precision, versions."""
    kind = backbone.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    return {
        "backbone": backbone.fingerprint(),
        "device": kind,
        "precision": str(precision),
        "versions": [torch.__version__, diffusers.__version__],
    }
