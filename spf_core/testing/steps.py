"""Checks of what a step calls: loss terms, response enhancements, control maps, references and rewards."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from spf_core.dual_path.contracts import (
    CONTROL_MAP,
    REFERENCE,
    REWARD,
    ContractError,
    Contracts,
)
from spf_core.interfaces import RecordsStates, StepState
from spf_core.interfaces.types import Capture, PathOutput
from spf_core.testing.subject import Check, Failure, NotApplicable, Subject
from spf_core.testing.watching import Reads, other_chance, watched

_SLOTS = {"control-map": CONTROL_MAP, "reference": REFERENCE, "reward": REWARD}


def ask(subject: Subject, part: Any, state: StepState) -> Any:
    """What the part returns, called as the engine does in a step; ContractError where it breaks a rule."""
    slot = _SLOTS.get(subject.kind, subject.config.name)
    contracts = Contracts({slot: subject.config})
    if subject.kind == "control-map":
        return contracts.map(part, state)
    if subject.kind == "reference":
        noised, text = state.noised, state.reference_text
        return contracts.output(
            slot,
            lambda: part.run(state.backbone, state.adapter, noised, text, Capture(True, True)),
            noised.z_t_BCHW,
            frozen=True,
        )
    if subject.kind == "reward":
        return contracts.reward(part)(state.backbone, pictures(state), state.batch.prompts)
    return contracts.term(slot, part, fresh(state))


def pictures(state: StepState) -> Tensor:
    """The decoded training images of the state, in [-1, 1], B 3 H W."""
    with torch.no_grad():
        return state.backbone.decode(state.batch.latents_BCHW).clamp(-1, 1)


def fresh(state: StepState) -> StepState:
    """The state with its generator at the start; a control map never sees a map."""
    return replace(state, generator=torch.Generator().manual_seed(0))


def _state(subject: Subject, state: StepState | None = None) -> StepState:
    found = fresh(state or subject.seen)
    return replace(found, map_B1HW=None) if subject.kind == "control-map" else found


def returns_what_it_should(subject: Subject) -> None:
    """Shape, kind of numbers, device, range and finite values, on square and on wide pictures."""
    for state in (subject.seen, subject.state(height=32, width=64)):
        try:
            value = ask(subject, _built(subject), _state(subject, state))
        except ContractError as error:
            if _is_about_state(error) or "random state" in str(error):
                continue  # has a check of its own
            raise Failure(str(error)) from None
        value = value.pred_BCHW if isinstance(value, PathOutput) else value
        if not bool(value.isfinite().all()):
            raise Failure(
                "it returns NaN or infinity on ordinary numbers; look for a division by 0 "
                "(.clamp(min=1e-8)), a logarithm of 0 or a mean over no rows (spf_core.helpers.row_mean)"
            )


def leaves_the_state(subject: Subject) -> None:
    """The state, the weights and settings of the process are what they were."""
    try:
        ask(subject, _built(subject), _state(subject, subject.state()))
    except ContractError as error:
        if _is_about_state(error):
            raise Failure(str(error)) from None


def _is_about_state(error: ContractError) -> bool:
    return "in place, which" in str(error) or "which the whole run has" in str(error)


def leaves_chance(subject: Subject) -> None:
    """The global random states of torch, `random` and numpy are what they were."""
    try:
        with other_chance() as changed_states:
            _ask_quietly(subject)
            changed = changed_states()
    except ContractError as error:
        raise Failure(str(error)) from None
    if changed:
        raise Failure(
            f"it draws from the global random state of {changed[0]}, or seeds it, so runs are not "
            f"reproducible; draw with {_generator(subject)}"
        )


def _generator(subject: Subject) -> str:
    """What the component draws with; a reference path and a reward get no state of a step."""
    return (
        "a generator of its own" if subject.kind in ("reference", "reward") else "generator=state.generator"
    )


def _ask_quietly(subject: Subject) -> None:
    try:
        ask(subject, _built(subject), _state(subject))
    except ContractError as error:
        if "random state" in str(error):
            raise


def _asked(subject: Subject, state: StepState) -> Tensor:
    """What a term or a map returns, also where it breaks a rule that has a check of its own."""
    part = _built(subject)
    try:
        found: Tensor = ask(subject, part, state)
    except ContractError as error:
        if not (_is_about_state(error) or "random state" in str(error)):
            raise
        with other_chance():
            found = part(state)
    return found


def repeats_itself(subject: Subject) -> None:
    """Two new objects return the same bits for the same state and generator."""
    first, second = (_value(subject, _built(subject), _state(subject)) for _ in range(2))
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):  # NaN differs from itself
        raise Failure(
            f"two calls with the same state and generator differ; draw with {_generator(subject)}, and keep "
            "nothing in module or class variables"
        )


def _value(subject: Subject, part: Any, state: StepState) -> Tensor:
    """What the part returns, without any check."""
    if subject.kind == "reward":
        value = part(state.backbone, pictures(state), state.batch.prompts)
    elif subject.kind == "reference":
        value = part.run(
            state.backbone, state.adapter, state.noised, state.reference_text, Capture()
        ).pred_BCHW
    else:
        value = part(state)
    if not isinstance(value, Tensor):
        raise NotApplicable("it returns no tensor")
    return value.detach()


def needs_what_it_reads(subject: Subject) -> None:
    """`needs` names what is read, and nothing else."""
    reads, part = Reads(), _built(subject)
    seen = watched(_state(subject), reads)
    with reads.watched():
        part(seen)
    declared = frozenset(getattr(subject.config, "needs", frozenset()))
    # A step that has a control map has the reference path, too.
    mapped = subject.kind == "control-map" or "map" in declared
    given = {"reference"} if mapped else set[str]()
    missing, idle = sorted(reads.needs - declared - given), sorted(declared - reads.needs)
    if missing:
        raise Failure(
            f"it reads what comes only with the need {_quoted(missing)}, which `needs` lacks; write needs = "
            f"frozenset({{{_quoted(sorted(declared | set(missing)))}}})"
        )
    if idle:
        raise Failure(
            f"it needs {_quoted(idle)} and never reads it, so that every step computes it in vain; take it "
            "out of `needs`"
        )


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def has_a_gradient(subject: Subject) -> None:
    """The gradient reaches the adapter's weights, is finite, and reaches no frozen weight."""
    state = subject.state()
    value = _asked(subject, _state(subject, state))
    trained = list(state.adapter.parameters())
    if not value.requires_grad:
        if float(value) == 0:
            raise NotApplicable("the term is 0 on the rows of the test state")
        raise Failure(
            "it has no gradient, so it changes no weight; compute it from state.response or from "
            "state.predictions.tuned(...), without detach() or torch.no_grad()"
        )
    for parameter in trained:
        parameter.grad = None
    value.backward()  # type: ignore[no-untyped-call]
    grads = [parameter.grad for parameter in trained if parameter.grad is not None]
    if not all(bool(grad.isfinite().all()) for grad in grads):
        raise Failure("its gradient is NaN or infinite; add a small number below roots and in divisions")
    if not any(bool(grad.any()) for grad in grads):
        if float(value.detach()) == 0:
            raise NotApplicable("the term is 0 on the rows of the test state")
        raise Failure("its gradient reaches no weight of the adapter; compute it from state.response")
    own = {id(parameter) for parameter in trained}
    for name, weight in _frozen_weights(state):
        if id(weight) not in own and weight.grad is not None:
            raise Failure(
                f"it leaves a gradient on the frozen weight {name}; detach what it takes from there"
            )


def _frozen_weights(state: StepState) -> Iterator[tuple[str, nn.Parameter]]:
    for name, module in vars(state.backbone).items():
        if isinstance(module, nn.Module):
            yield from ((f"{name}.{inner}", weight) for inner, weight in module.named_parameters())


def works_in_bfloat16(subject: Subject) -> None:
    """Under autocast to bfloat16, as in most runs, the value is finite."""
    with torch.autocast("cpu", torch.bfloat16):
        value = _asked(subject, _state(subject, subject.state()))
    if not bool(value.isfinite().all()):
        raise Failure("it is NaN or infinite in bfloat16; compute sensitive parts with .float()")


def works_on_a_gpu(subject: Subject) -> None:
    """On a CUDA device it makes its tensors there."""
    if not torch.cuda.is_available():
        raise NotApplicable("no CUDA device here")
    backbone = subject.new_backbone()
    backbone.to(torch.device("cuda"))
    try:
        ask(subject, _built(subject), _state(subject, subject.state_on(backbone)))
    except ContractError as error:
        raise Failure(str(error)) from None


def follows_the_pixels(subject: Subject) -> None:
    """The gradient of a reward reaches the pixels."""
    state = _state(subject)
    images = pictures(state).requires_grad_()
    value = _built(subject)(state.backbone, images, state.batch.prompts)
    (grad,) = torch.autograd.grad(value.sum(), images, allow_unused=True) if value.requires_grad else (None,)
    if grad is None or not bool(grad.any()):
        raise Failure("its gradient reaches no pixel, so training cannot follow it; leave out detach()")


def is_the_original(subject: Subject) -> None:
    """A reference path predicts what the model predicts with the adapter off, and leaves it on."""
    state, part = _state(subject, subject.state()), _path(subject)
    state.adapter.scale(1.0)  # the path has run for this state already, and may have left it off
    noised, text = state.noised, state.reference_text
    with torch.no_grad():
        tuned = state.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, text).pred_BCHW
        with state.adapter.disabled():
            wanted = state.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, text).pred_BCHW
        found = part.run(state.backbone, state.adapter, noised, text, Capture()).pred_BCHW
        again = state.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, text).pred_BCHW
    if not torch.allclose(found, wanted, atol=1e-5, rtol=1e-4):
        raise Failure(
            "it does not predict what the original model predicts under the base text; call backbone.predict "
            "within adapter.disabled()"
        )
    if not torch.equal(tuned, again):
        raise Failure("after it has run, the adapter is off or changed; put it back, also after an error")


def records_what_is_asked(subject: Subject) -> None:
    """A reference path returns the attention and queries of every site that `capture` asks for."""
    state, part = _state(subject), _path(subject)
    sites = {site.name for site in state.backbone.attention_sites()}
    output = part.run(
        state.backbone,
        state.adapter,
        state.noised,
        state.reference_text,
        Capture(attention=True, queries=True),
    )
    for what in ("attention", "queries", "hidden"):
        if lacking := sorted(sites - set(getattr(output, what))):
            raise Failure(
                f"its output lacks the {what} of '{lacking[0]}'; pass `capture` on to backbone.predict"
            )


def _built(subject: Subject) -> Any:
    return _path(subject) if subject.kind == "reference" else subject.build()


def _path(subject: Subject) -> Any:
    part = subject.build()
    if isinstance(part, RecordsStates):
        raise NotApplicable("it runs before training alone")
    return part


_COMMON: tuple[tuple[str, Check], ...] = (
    ("leaves the state and the weights as they are", leaves_the_state),
    ("leaves the global random states alone", leaves_chance),
    ("repeats itself under a generator", repeats_itself),
)
_NEEDS: tuple[str, Check] = ("needs what it reads, and nothing else", needs_what_it_reads)
_NUMBERS: tuple[tuple[str, Check], ...] = (
    ("is finite in bfloat16", works_in_bfloat16),
    ("works on a GPU", works_on_a_gpu),
)
TERM: tuple[tuple[str, Check], ...] = (
    ("returns a finite scalar on the device", returns_what_it_should),
    *_COMMON,
    _NEEDS,
    ("gradient reaches the adapter and nothing else", has_a_gradient),
    *_NUMBERS,
)
MAP: tuple[tuple[str, Check], ...] = (
    ("returns B 1 H W in [0, 1]", returns_what_it_should),
    *_COMMON,
    _NEEDS,
    *_NUMBERS,
)
REFERENCES: tuple[tuple[str, Check], ...] = (
    ("returns a prediction without gradient", returns_what_it_should),
    ("predicts what the original model predicts", is_the_original),
    ("records what it is asked for", records_what_is_asked),
    *_COMMON[1:],
)
REWARDS: tuple[tuple[str, Check], ...] = (
    ("returns a finite number for each image", returns_what_it_should),
    ("gradient reaches the pixels", follows_the_pixels),
    *_COMMON[1:],
)
