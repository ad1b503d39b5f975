"""What the parts of a run must give in a step, and what they must leave alone.

Whoever does not is named with its provider. What costs nothing is checked in every step. What copies, or
makes the device wait, is checked only the first time that a part runs after a run starts or resumes.
"""

import logging
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import torch
from torch import Tensor

from spf_core.errors import PluginError, SpfError, quoted
from spf_core.interfaces import Backbone, ControlMap, Reward, StepState, Term
from spf_core.interfaces.types import Conditioning, PathOutput
from spf_core.plugins.configs import Component, label
from spf_core.plugins.containment import place_of, reason_of
from spf_core.utils.devices import is_out_of_memory
from spf_core.utils.fake_tensors import has_values
from spf_core.utils.prompts import Prompt

_READ = {"batch", "noised", "response", "reference", "response_text", "reference_text", "predictions"}
CONTROL_MAP, REFERENCE, BACKBONE = "slot.control_map", "slot.reference", "slot.backbone"  # no term's name
REWARD = "slot.reward"
SLACK = 1e-4  # how far rounding may take a control map out of [0, 1]
_log = logging.getLogger("spf")
T = TypeVar("T")


class ContractError(PluginError):
    """A part gives what its interface does not allow, or changes what it only may read."""


class Contracts:
    """Calls the parts of a run for a step. `parts` are the configs they were built from, by slot or term."""

    def __init__(self, parts: Mapping[str, Component]) -> None:
        self._parts = dict(parts)
        self._known: set[str] = set()  # those that have run
        self._warned: set[str] = set()

    def term(self, name: str, term: Term, state: StepState) -> Tensor:
        """The term's scalar; a warning where it has no gradient."""
        value = self._run(name, term, state)
        called, like = label(self._parts[name]), state.response.pred_BCHW
        if not isinstance(value, Tensor):
            raise ContractError(
                f"{called} returns {quoted(value)}; return a scalar tensor, as .mean() gives it"
            )
        if value.ndim:
            shape = list(value.shape)
            raise ContractError(
                f"{called} returns a tensor of shape {shape}; return a scalar, as .mean() gives it"
            )
        _check_kind(called, value, like)
        self._warn_without_gradient(name, value)
        return value

    def map(self, control_map: ControlMap, state: StepState) -> Tensor:
        """The control map, B 1 H W, without gradient."""
        name = CONTROL_MAP
        first = name not in self._known
        value = self._run(name, control_map, state)
        called, like = label(self._parts[name]), state.noised.z_t_BCHW
        wanted = [len(like), 1, *like.shape[2:]]
        if not isinstance(value, Tensor):
            raise ContractError(f"{called} returns {quoted(value)}; return a tensor B 1 H W, here {wanted}")
        if list(value.shape) != wanted:
            raise ContractError(f"{called} returns shape {list(value.shape)}; return B 1 H W, here {wanted}")
        _check_kind(called, value, like)
        value = value.detach()
        if first and not bool(((value >= -SLACK) & (value <= 1 + SLACK)).all()):
            least, most = value.min().item(), value.max().item()
            raise ContractError(
                f"{called} returns values from {least:.4g} to {most:.4g}; return a map in [0, 1], as "
                ".clamp(0, 1) gives it"
            )
        return value

    def output(
        self, name: str, run: Callable[[], PathOutput], like_BCHW: Tensor, *, frozen: bool
    ) -> PathOutput:
        """What a backbone or a `frozen` reference path predicts."""
        called, foreign = label(self._parts[name]), bool(self._parts[name].provided_by)
        first = frozen and foreign and name not in self._known and has_values(like_BCHW)
        kept, chance = (like_BCHW.clone(), random_states(like_BCHW.device)) if first else (like_BCHW, {})
        output = self.call(name, run)
        if not isinstance(output, PathOutput):
            raise ContractError(f"{called} returns {quoted(output)}; return a spf_core.interfaces.PathOutput")
        pred = output.pred_BCHW
        if not isinstance(pred, Tensor) or pred.shape != like_BCHW.shape:
            found = list(pred.shape) if isinstance(pred, Tensor) else quoted(pred)
            raise ContractError(
                f"{called} predicts {found}; predict the shape of z_t, here {list(like_BCHW.shape)}"
            )
        _check_kind(called, pred, like_BCHW)
        if frozen and pred.requires_grad:
            raise ContractError(f"{called} predicts with gradient; compute it under torch.no_grad()")
        if first:
            self._known.add(name)
            if not torch.equal(kept, like_BCHW):
                raise ContractError(f"{called} changes z_t in place, which both paths read; change a copy")
            if bool(kept.isfinite().all()) and not bool(pred.isfinite().all()):
                raise ContractError(f"{called} predicts NaN or infinity; look for a division by 0")
            if changed := [each for each, at in random_states(pred.device).items() if at != chance[each]]:
                raise ContractError(
                    f"{called} changes the global random state of {changed[0]}, so the run is not "
                    "reproducible; draw with a generator of its own"
                )
        return output

    def reward(self, reward: Reward) -> Reward:
        """The reward, held to B numbers whenever a term asks it, and to finite ones the first time."""
        called = label(self._parts[REWARD])

        def asked(backbone: Backbone, images_B3HW: Tensor, prompts: Sequence[Prompt]) -> Tensor:
            value = self.call(REWARD, lambda: reward(backbone, images_B3HW, prompts))
            wanted = [len(images_B3HW)]
            if not isinstance(value, Tensor) or list(value.shape) != wanted:
                found = f"shape {list(value.shape)}" if isinstance(value, Tensor) else quoted(value)
                raise ContractError(
                    f"{called} returns {found}; return a number for each image, here {wanted}"
                )
            _check_kind(called, value, images_B3HW)
            if REWARD in self._known or not has_values(value):
                return value
            self._known.add(REWARD)
            sound = bool(images_B3HW.isfinite().all())  # else the weights are to blame
            if sound and not bool(value.isfinite().all()):
                raise ContractError(f"{called} returns {quoted(value.tolist())}; return finite numbers")
            return value

        return asked

    def backward(self, run: Callable[[Tensor], Any], loss: Tensor) -> None:
        """The backward pass; PluginError with the name of the part whose code raises in it."""
        try:
            run(loss)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or is_out_of_memory(error):
                raise
            for config in self._parts.values():
                package = config.__module__.partition(".")[0]
                if config.provided_by and place_of(error, package):
                    reason = reason_of(error, package)
                    raise PluginError(
                        f"{label(config)} failed in the backward pass: {reason}. "
                        "Leave it out, or report it to its provider"
                    ) from error
            raise

    def _run(self, name: str, part: ControlMap | Term, state: StepState) -> Any:
        """What a part returns that was given the state to read."""
        called = label(self._parts[name])
        pred = state.response.pred_BCHW
        first = name not in self._known and has_values(pred)  # a memory estimate has none
        foreign = bool(self._parts[name].provided_by)
        read = dict(_tensors(state))
        versions = {place: _version(tensor) for place, tensor in read.items()}
        copies = {place: tensor.clone() for place, tensor in read.items()} if first and foreign else {}
        chance = random_states(pred.device) if first else {}
        given, trained = dict(vars(state)), _weights(state) if first and foreign else {}
        process = _process()
        value = self.call(name, lambda: part(state))
        self._known.add(name)
        changed = [place for place, tensor in read.items() if _version(tensor) != versions[place]]
        changed += [place for place, copy in copies.items() if not _same(read[place], copy)]
        changed += getattr(state.predictions, "changed", list)()
        changed += [place for place, part in given.items() if vars(state).get(place) is not part]
        if trained:
            now = _weights(state)
            changed += [place for place, was in trained.items() if now[place] != was]
        if changed:
            raise ContractError(
                f"{called} changes state.{changed[0]} in place, which others read too; change a copy, as "
                ".clone() gives it"
            )
        process_after = _process()
        for setting, was in process.items():
            if process_after.get(setting) != was:
                raise ContractError(f"{called} changes {setting}, which the whole run has; put it back")
        after = random_states(pred.device) if first else {}
        for library in chance:
            if chance[library] != after[library]:
                raise ContractError(
                    f"{called} changes the global random state of {library}, so the run is not "
                    "reproducible; use generator=state.generator"
                )
        return value

    def call(self, name: str, call: Callable[[], T]) -> T:
        """What a call of a part returns; PluginError with its name for what it raises."""
        config = self._parts[name]
        try:
            return call()
        except SpfError as error:
            if not config.provided_by or config.provided_by in str(error):
                raise
            raise PluginError(f"{label(config)} failed in the step: {error}") from error
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or is_out_of_memory(error):
                raise
            if config.kind in ("backbone", "reference") and not config.provided_by:
                raise  # a fault of spf
            reason = reason_of(error, config.__module__.partition(".")[0])
            if "'NoneType' object" in reason:
                reason += ". What `needs` of the config class does not name is None here"
            raise PluginError(
                f"{config.kind} '{config.name}' failed in the step: {reason}. "
                f"Leave it out, or report it to its provider, {config.provided_by or 'spf'}"
            ) from error

    def _warn_without_gradient(self, name: str, value: Tensor) -> None:
        """Once, of a term that is not 0: one that has nothing to say about these rows is."""
        if value.requires_grad or name in self._warned or not torch.is_grad_enabled():
            return
        if not has_values(value) or not bool(value != 0):
            return
        self._warned.add(name)
        _log.warning(
            "%s has no gradient, so it changes no weight; compute it from state.response or from "
            "state.predictions.tuned(...), without detach()",
            label(self._parts[name]),
        )


def _check_kind(called: str, value: Tensor, like: Tensor) -> None:
    if not value.is_floating_point():
        raise ContractError(f"{called} returns a tensor of {value.dtype}; return floating-point numbers")
    if value.device != like.device:
        raise ContractError(
            f"{called} returns a tensor on {value.device}, and the run computes on {like.device}; make its "
            "tensors there, with device=state.response.pred_BCHW.device"
        )


def _tensors(state: StepState) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that a part may read, by the name it has there."""
    for name, value in vars(state).items():
        if isinstance(value, Tensor):
            yield name, value
        elif name in _READ:
            yield from _within(name, value)


def _within(name: str, holder: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(holder, Tensor):
        yield name, holder
    elif isinstance(holder, dict):
        for key, value in holder.items():
            yield from _within(f"{name}[{key!r}]", value)
    elif holder is not None and hasattr(holder, "__dict__"):
        for key, value in vars(holder).items():
            if isinstance(value, Tensor | dict | Conditioning | PathOutput):
                yield from _within(f"{name}.{key}", value)


def _weights(state: StepState) -> dict[str, list[float]]:
    """What only the optimizer may change: sums of the weights, and counts of changes of the gradients.

    An adapter may exchange weights in place to show the original model, which leaves their sums.
    """
    trained = list(state.adapter.parameters())
    return {
        "adapter": [_sum(weight) for weight in trained],
        "backbone": [_sum(weight) for weight in state.backbone.denoiser.parameters()],
        "adapter's gradients": [-1 if weight.grad is None else _version(weight.grad) for weight in trained],
    }


def _sum(weight: Tensor) -> float:
    part = weight.to_local() if hasattr(weight, "to_local") else weight  # of what lies in shards
    return float(part.detach().float().sum())


def _process() -> dict[str, Any]:
    """What a part could change of the process by accident, by the words for it."""
    found = {
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
    }
    with suppress(OSError):  # the folder may be gone
        found["the working folder"] = os.getcwd()  # noqa: PTH109 - in every step, and cheaper
    return found


def _version(tensor: Tensor) -> int:
    """A count of changes in place; tensors made in inference mode have none."""
    return 0 if tensor.is_inference() else tensor._version


def _same(first: Tensor, second: Tensor) -> bool:
    equal = (first == second) | ((first != first) & (second != second))  # NaN is as it was
    return bool(equal.all())


def random_states(device: torch.device) -> dict[str, Any]:
    """The global random states of the loaded libraries, by name; equal where nothing was drawn."""
    states: dict[str, Any] = {"torch": torch.get_rng_state().numpy().tobytes(), "random": random.getstate()}
    if device.type == "cuda":
        states["torch.cuda"] = torch.cuda.get_rng_state(device).numpy().tobytes()
    if numpy := sys.modules.get("numpy"):
        states["numpy"] = str(numpy.random.get_state(legacy=False))
    return states
