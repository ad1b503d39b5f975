"""Safetensors in and out, and the state a run resumes from."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spf_core.atomic import atomic_file, atomic_folder, atomic_write_text
from spf_core.errors import RunError

ADAPTER_FILE = "adapter.safetensors"
_OPTIMIZER_FILE, _PARTS_FILE, _STATE_FILE = "optimizer.safetensors", "parts.safetensors", "state.json"


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors atomically."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(ready, temporary, dict(metadata))
        temporary.chmod(0o644)  # safetensors lets only its owner read what other programs are to open


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata; RunError when the file is missing or damaged, or holds what is no number."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except FileNotFoundError:
        raise RunError(f"'{path}' does not exist") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(
            f"'{path}' is damaged or not a safetensors file ({' '.join(str(error).split())}); "
            "delete it and resume from an earlier checkpoint"
        ) from None
    refuse_non_numbers(tensors.items(), path)
    return tensors, metadata


def refuse_non_numbers(tensors: Iterable[tuple[str, Tensor]], place: Path) -> None:
    """RunError names the first tensor with a NaN or infinite value; `place` is what they were read from.

    Such weights come from a training that diverged, and every picture made with them is black or noise.
    """
    for name, tensor in tensors:
        if not tensor.is_floating_point() or tensor.is_meta or tensor.numel() == 0:
            continue
        # The extremes are NaN where any value is, and take a tenth of the time of isfinite().
        values = tensor.detach().float() if tensor.element_size() == 1 else tensor.detach()
        if not all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(values)):
            raise RunError(
                f"'{place}': the tensor '{name}' holds NaN or infinity; get the file from its source"
            )


def save_checkpoint(
    folder: Path,
    adapter: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    optimizer: dict[str, Any],
    state: dict[str, Any],
    parts: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint folder atomically: adapter, optimizer, what other parts remember, and counters."""
    tensors, numbers = _flatten(optimizer)
    kept = {"param_groups": optimizer["param_groups"], "numbers": numbers}
    with atomic_folder(folder) as temporary:
        write_safetensors(temporary / ADAPTER_FILE, adapter, metadata)
        write_safetensors(temporary / _OPTIMIZER_FILE, tensors, {})
        if parts:
            write_safetensors(temporary / _PARTS_FILE, parts, {})
        atomic_write_text(temporary / _STATE_FILE, json.dumps({**state, **kept}))


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Read a checkpoint folder: adapter tensors, the optimizer's state dict, and the counters."""
    adapter, metadata = read_safetensors(folder / ADAPTER_FILE)
    tensors, _ = read_safetensors(folder / _OPTIMIZER_FILE)
    try:
        state = json.loads((folder / _STATE_FILE).read_text(encoding="utf-8"))
        optimizer = _unflatten(tensors, state.pop("numbers", {}), state.pop("param_groups"))
        return adapter, optimizer, {**state, "metadata": metadata}
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"'{folder / _STATE_FILE}' is damaged ({error}); delete '{folder}' and resume again"
        ) from None


def load_parts(folder: Path) -> dict[str, Tensor]:
    """Read what the run's stateful parts remembered; nothing when they had nothing to."""
    file = folder / _PARTS_FILE
    return read_safetensors(file)[0] if file.exists() else {}


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoint folders, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def prune_checkpoints(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what killed processes left half-written."""
    for folder in [*checkpoints(run)[:-keep], *(run / "checkpoints").glob(".step-*")]:
        shutil.rmtree(folder)


def _flatten(optimizer: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The optimizer's state as tensors and as numbers, both by `PARAMETER.NAME`.

    bitsandbytes wraps some of it in a mapping, and reads it without that as well.
    """
    state = {
        f"{parameter}.{name}": value
        for parameter, values in optimizer["state"].items()
        for key, held in values.items()
        for name, value in (held.items() if isinstance(held, Mapping) else [(key, held)])
    }
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    numbers = {key: value for key, value in state.items() if key not in tensors}
    return _unshared(tensors), numbers


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in the place of tensors that lie where an earlier one does: safetensors refuses those."""
    first = {tensor.data_ptr(): key for key, tensor in reversed(list(tensors.items()))}
    return {key: t if first[t.data_ptr()] == key else t.clone() for key, t in tensors.items()}


def _unflatten(
    tensors: Mapping[str, Tensor], numbers: Mapping[str, float], groups: list[dict[str, Any]]
) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **numbers}.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": groups}
