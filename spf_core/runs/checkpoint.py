"""Safetensors in and out, and the state a run resumes from."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from spf_core.errors import RunError, short
from spf_core.utils.atomic import atomic_file, atomic_folder, atomic_write_text
from spf_core.utils.special_files import refuse_special
from spf_core.utils.validation import explain

ADAPTER_FILE = "adapter.safetensors"
_OPTIMIZER_FILE, _PARTS_FILE, _STATE_FILE = "optimizer.safetensors", "parts.safetensors", "state.json"
_RUN_CODE = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_STEP = re.compile(r"step-([0-9]+)")
# What Python raises on the way through a file that says something else than it should.
UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors atomically; equal tensors and metadata give equal bytes."""
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(ready, temporary, dict(metadata) or None)
        if metadata:
            _sort_metadata(temporary)
        temporary.chmod(0o644)  # safetensors lets only its owner read what other programs are to open


def _sort_metadata(file: Path) -> None:
    """Sort the metadata in the file's header, which safetensors writes in an order of each process's own."""
    with file.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        assert len(text) == size, "the header is written as safetensors writes it"
        stream.seek(8)
        stream.write(text)


def read_safetensors(
    path: Path, way_out: str = "delete it and resume from an earlier checkpoint"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata; RunError when the file is missing or damaged, or holds what is no number.

    `way_out` is what the message of a damaged file advises.
    """
    try:
        refuse_special(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error, way_out) from None
    refuse_non_numbers(tensors.items(), path)
    return tensors, metadata


def read_header(path: Path, way_out: str) -> tuple[frozenset[str], dict[str, str]]:
    """Names of the tensors, and the metadata; errors as of `read_safetensors`, but nothing else is read.

    RunError also for a format that can run code when it is read, which this project never does.
    """
    if path.suffix.lower() in _RUN_CODE:
        raise RunError(
            f"'{path}' is no .safetensors file, and a {path.suffix} file can run code when it is read; get "
            "it as .safetensors, or convert it in a safe place"
        )
    try:
        refuse_special(path)
        with safe_open(path, framework="pt") as file:
            return frozenset(file.keys()), dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error, way_out) from None


def _unreadable(path: Path, error: Exception, way_out: str) -> RunError:
    if isinstance(error, FileNotFoundError):
        return RunError(f"'{path}' does not exist; put it back")
    reason = " ".join(str(error).split())
    return RunError(f"'{path}' is damaged or not a safetensors file ({reason}); {way_out}")


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


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after `step`, as tensors on the CPU and plain values.

    `length` is the number of steps that the run was to have then; older checkpoints do not say it.
    """

    step: int
    adapter: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    scaler: dict[str, Any] | None
    parts: Mapping[str, Tensor]
    length: int | None = None


class DamagedCheckpointError(RunError):
    """A file of a checkpoint is missing, cannot be read, or does not belong to the others."""


class _State(BaseModel):
    """What state.json holds. `files` are the hashes of the other files, `sha256` is that of all the rest.

    Checkpoints of older versions have neither.
    """

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    step: int = Field(ge=0)
    length: int | None = Field(None, ge=1)
    scheduler: dict[str, Any]
    scaler: dict[str, Any] | None
    param_groups: list[dict[str, Any]]
    numbers: dict[str, Any] = {}
    files: dict[str, str] | None = None
    sha256: str | None = None

    @property
    def hashed(self) -> bool:
        """Whether the checkpoint says what its files must be."""
        return bool(self.model_fields_set & {"files", "sha256"})


def save_checkpoint(folder: Path, state: Checkpoint) -> None:
    """Write a checkpoint folder atomically: adapter, optimizer, what other parts remember, and counters."""
    tensors, numbers = _flatten(state.optimizer)
    written = {
        "step": state.step,
        "length": state.length,
        "scheduler": state.scheduler,
        "scaler": state.scaler,
        "param_groups": state.optimizer["param_groups"],
        "numbers": numbers,
    }
    with atomic_folder(folder) as temporary:
        write_safetensors(temporary / ADAPTER_FILE, state.adapter, state.metadata)
        write_safetensors(temporary / _OPTIMIZER_FILE, tensors, {})
        if state.parts:
            write_safetensors(temporary / _PARTS_FILE, state.parts, {})
        written["files"] = {file.name: _hash(file) for file in sorted(temporary.iterdir())}
        plain = json.loads(json.dumps(written))  # as it is read back, so that the hash is of the same text
        atomic_write_text(temporary / _STATE_FILE, json.dumps({**plain, "sha256": _digest(plain)}))


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder; DamagedCheckpointError says which file differs from what spf saved.

    Checkpoints of older versions have no hashes: of them only the steps are compared here.
    """
    try:
        return _read(folder)
    except DamagedCheckpointError:
        raise
    except (RunError, *UNREADABLE) as error:
        raise DamagedCheckpointError(reason(error)) from None


def _read(folder: Path) -> Checkpoint:
    state = _read_state(folder / _STATE_FILE)
    files = [folder / name for name in (ADAPTER_FILE, _OPTIMIZER_FILE)]
    if (parts := folder / _PARTS_FILE).exists() or parts.name in (state.files or ()):
        files.append(parts)
    for file in files:
        if not file.is_file():
            raise DamagedCheckpointError(f"{file.name} is missing")
        if state.hashed and (state.files or {}).get(file.name) != _hash(file):
            raise DamagedCheckpointError(f"{file.name} differs from what spf saved")
    (adapter, metadata), (tensors, _), *others = (read_safetensors(file) for file in files)
    steps = {
        folder.name: step_of(folder),
        ADAPTER_FILE: metadata.get("spf_step"),
        "its schedule": state.scheduler.get("last_epoch"),
    }
    for place, step in steps.items():
        if str(step) != str(state.step):
            raise DamagedCheckpointError(f"{_STATE_FILE} is of step {state.step}, {place} of {step}")
    return Checkpoint(
        step=state.step,
        adapter=adapter,
        metadata=metadata,
        optimizer=_unflatten(tensors, state.numbers, state.param_groups),
        scheduler=state.scheduler,
        scaler=state.scaler,
        parts=others[0][0] if others else {},
        length=state.length,
    )


def _read_state(file: Path) -> _State:
    refuse_special(file)
    raw = json.loads(file.read_text(encoding="utf-8"))
    try:
        state = _State.model_validate(raw)
    except ValidationError as error:
        raise DamagedCheckpointError(f"{file.name}: {short(explain(error, '', _State), 120)}") from None
    if state.hashed and state.sha256 != _digest(raw):
        raise DamagedCheckpointError(f"{file.name} differs from what spf saved")
    return state


def step_of(path: Path) -> int:
    """The step in a name such as `step-000600` or `step-000600-grid.png`; -1 where there is none."""
    found = _STEP.match(path.name)
    return int(found[1]) if found else -1


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoint folders, in the order of their steps."""
    found = (path for path in (run / "checkpoints").glob("step-*") if _STEP.fullmatch(path.name))
    return sorted((path for path in found if path.is_dir()), key=lambda path: (step_of(path), path.name))


def checkpoint_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step:06d}"


def prune_checkpoints(run: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and what killed processes left half-written."""
    for folder in [*checkpoints(run)[:-keep], *(run / "checkpoints").glob(".step-*")]:
        shutil.rmtree(folder)


def reason(error: Exception) -> str:
    """What an error says, in a short line."""
    words = " ".join(str(error).split())
    return short(words if isinstance(error, RunError) else f"{type(error).__name__}: {words}", 160)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of what state.json says besides this hash."""
    others = {name: value for name, value in state.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


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
