"""Which checkpoint a run goes on from: the newest whose files all fit the run and each other."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spf_core.errors import RunError
from spf_core.runs.checkpoint import (
    UNREADABLE,
    Checkpoint,
    DamagedCheckpointError,
    checkpoints,
    read_checkpoint,
    reason,
)

LARGE = 4096  # values from which on bitsandbytes keeps 8-bit moments

Form = tuple[tuple[int, ...], torch.dtype]


def form_of(tensor: Tensor) -> Form:
    """Shape and type of a tensor."""
    return tuple(tensor.shape), tensor.dtype


@dataclass(frozen=True)
class Expected:
    """What a checkpoint must hold to fit a run; read off the run as it is before anything is restored.

    `groups` are the optimizer's, `shapes` those of its parameters by number, `rates` the schedule's. Only of
    an `own_optimizer`, one of spf's, is it known what it keeps for a parameter. `parts` is what the stateful
    parts remember from the start; they may remember more later, under their `owners`.
    """

    adapter: Mapping[str, Form]
    groups: Sequence[Mapping[str, Any]]
    shapes: Sequence[tuple[int, ...]]
    own_optimizer: bool
    rates: Sequence[float]
    scaler: frozenset[str] | None
    parts: Mapping[str, Form]
    owners: frozenset[str]

    def check(self, found: Checkpoint) -> None:
        """DamagedCheckpointError says what does not fit."""
        try:
            self._check(found)
        except UNREADABLE as error:
            raise DamagedCheckpointError(reason(error)) from None

    def _check(self, found: Checkpoint) -> None:
        _same_tensors("adapter", self.adapter, found.adapter)
        _finite("adapter", found.adapter)
        known = {name: each for name, each in found.parts.items() if name in self.parts}
        _same_tensors("parts", self.parts, known)
        _finite("parts", found.parts)
        strange = [name for name in found.parts if name.partition("/")[0] not in self.owners]
        _require(not strange, f"nothing in this run remembers '{''.join(strange[:1])}'")
        _require(found.scheduler.get("base_lrs") == list(self.rates), "the schedule has other step sizes")
        scaler = None if found.scaler is None else frozenset(found.scaler)
        _require(scaler == self.scaler, "the gradient scaler is not this run's")
        _numbers("scaler", (found.scaler or {}).values())
        self._check_groups(found.optimizer["param_groups"])
        self._check_state(found.optimizer["state"], found.step)

    def _check_groups(self, groups: list[dict[str, Any]]) -> None:
        _require(len(groups) == len(self.groups), "the optimizer has another number of groups")
        for group, own in zip(groups, self.groups, strict=True):
            missing = own.keys() - group.keys()
            _require(not missing, f"the optimizer's group lacks {', '.join(sorted(missing))}")
            _require(group["params"] == own["params"], "the optimizer has other parameters")
            strange = [name for name in own if not _alike(group[name], own[name])]
            _require(not strange, f"the optimizer's {', '.join(strange)} cannot be used")
            if self.own_optimizer:
                _numbers("optimizer", (group[name] for name in group.keys() - own.keys()))

    def _check_state(self, state: Mapping[int, Mapping[str, Any]], step: int) -> None:
        _require(bool(state) or step == 0 or not self.own_optimizer, "the optimizer remembers nothing")
        kinds: dict[object, set[str]] = {}
        for number, values in state.items():
            _require(0 <= number < len(self.shapes), f"the optimizer knows a parameter {number}")
            tensors = {f"{number}.{name}": each for name, each in values.items() if isinstance(each, Tensor)}
            _finite("optimizer", tensors)
            _numbers("optimizer", (each for each in values.values() if not isinstance(each, Tensor)))
            if not self.own_optimizer:
                continue
            shape = self.shapes[number]
            kind = len(shape) > 1, math.prod(shape) >= LARGE
            _require(
                kinds.setdefault(kind, set(values)) == set(values),
                f"the optimizer lacks some of what it remembers of parameter {number}",
            )
            for name, value in values.items():
                _require(
                    _fits(name, value, shape),
                    f"the optimizer's {name} of parameter {number} has another shape",
                )
            _require(0 <= float(values.get("step", 0)) <= step, "the optimizer made more steps than the run")


class Intact(NamedTuple):
    """A checkpoint with its folder, and what is wrong with each newer one."""

    folder: Path
    checkpoint: Checkpoint
    damaged: dict[Path, str]


def newest_intact(run: Path, expected: Expected, refuse: Callable[[Path, Checkpoint], None]) -> Intact | None:
    """The newest checkpoint that is intact; None where there is no checkpoint at all.

    RunError when there are checkpoints, and none of them is intact. `refuse` may raise what is no damage.
    """
    damaged: dict[Path, str] = {}
    for folder in reversed(checkpoints(run)):
        try:
            found = read_checkpoint(folder)
            refuse(folder, found)
            expected.check(found)
            return Intact(folder, found, damaged)
        except DamagedCheckpointError as error:
            damaged[folder] = str(error)
    if damaged:
        listed = "; ".join(f"{folder.name}: {why}" for folder, why in list(damaged.items())[:3])
        raise RunError(
            f"no checkpoint in '{run / 'checkpoints'}' is intact ({listed}); put an intact one back, or "
            "train again with another --out"
        )
    return None


def _require(truth: bool, otherwise: str) -> None:
    if not truth:
        raise DamagedCheckpointError(otherwise)


def _same_tensors(what: str, expected: Mapping[str, Form], found: Mapping[str, Tensor]) -> None:
    for name, form in expected.items():
        _require(name in found, f"the {what} lacks '{name}'")
        _require(form_of(found[name]) == form, f"'{name}' of the {what} has another shape or type")
    for name in found:
        _require(name in expected, f"the {what} holds '{name}', which this run has not")


def _finite(what: str, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        finite = not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
        _require(finite, f"'{name}' of the {what} holds values that are not finite")


def _numbers(what: str, values: Iterable[Any]) -> None:
    for value in values:
        finite = value is None or (isinstance(value, int | float) and math.isfinite(value))
        _require(finite, f"the {what} holds {str(value)[:20]!r} in the place of a number")


def _alike(saved: Any, own: Any) -> bool:
    """Whether a setting of the optimizer can stand in the place of its own; numbers may be others."""
    if isinstance(own, list | tuple):
        fits = isinstance(saved, list) and len(saved) == len(own)
        return fits and all(_alike(*pair) for pair in zip(saved, own, strict=True))
    if isinstance(own, int | float) and not isinstance(own, bool):
        number = isinstance(saved, int | float) and not isinstance(saved, bool)
        return number and (math.isfinite(saved) or saved == own)  # prodigy's growth_rate is infinite
    return bool(saved == own)


def _fits(name: str, value: Any, shape: tuple[int, ...]) -> bool:
    """Whether an optimizer may keep such a tensor under such a name for a parameter.

    Usually it has one value for each of the parameter's, or one in all. Adafactor keeps a row and a column of
    each matrix, bitsandbytes a table of 256 values and a factor for each block.
    """
    if not isinstance(value, Tensor) or value.ndim == 0 or name.startswith(("qmap", "absmax")):
        return True
    if name.endswith(("_row", "_col")):
        return tuple(value.shape) in {shape[:-1], (*shape[:-2], *shape[-1:])}
    return tuple(value.shape) in {shape, (math.prod(shape),)}
