"""What a component does unseen: which needs it reads in a step, and whether it touches global chance."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from spf_core.dual_path.contracts import random_states
from spf_core.interfaces import Predictions, StepState, TextName
from spf_core.interfaces.types import Batch, Conditioning, PathOutput
from spf_core.testing.states import OF_BATCH

CPU = torch.device("cpu")
_OF_STATE = {"reference": "reference", "map_B1HW": "map", "reward": "reward"}
_OF_OUTPUT = {"attention": "attention", "queries": "queries", "hidden": "queries"}
_BATCH = {name: need for need, names in OF_BATCH.items() for name in names}
_INTERFACES = "spf_core.interfaces"  # whose methods copy whole objects, which is no reading


class Reads:
    """The needs that were read while somebody watched."""

    def __init__(self) -> None:
        self.needs: set[str] = set()
        self.open = False

    def note(self, need: str | None) -> None:
        """Remember a need, where it is one and what reads it is not the interfaces' own code."""
        caller = str(sys._getframe(2).f_globals.get("__name__", ""))
        if need and self.open and not caller.startswith(_INTERFACES):
            self.needs.add(need)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember what is read within the context."""
        self.open = True
        try:
            yield
        finally:
            self.open = False


def watched(state: StepState, reads: Reads) -> StepState:
    """The state, which notes in `reads` what is read of it."""

    class WatchedOutput(PathOutput):
        def __getattribute__(self, name: str) -> Any:
            reads.note(_OF_OUTPUT.get(name))
            return super().__getattribute__(name)

    class WatchedBatch(Batch):
        def __getattribute__(self, name: str) -> Any:
            reads.note(_BATCH.get(name))
            return super().__getattribute__(name)

    class WatchedState(StepState):
        def __getattribute__(self, name: str) -> Any:
            reads.note(_OF_STATE.get(name))
            return super().__getattribute__(name)

    def again(kind: type[Any], value: Any) -> Any:
        return (
            None if value is None else kind(**{each.name: vars(value)[each.name] for each in fields(value)})
        )

    seen: StepState = again(WatchedState, state)
    for name, kind in (("response", WatchedOutput), ("reference", WatchedOutput), ("batch", WatchedBatch)):
        object.__setattr__(seen, name, again(kind, vars(state)[name]))
    object.__setattr__(seen, "predictions", _WatchedPredictions(state.predictions, reads))
    return seen


class _WatchedPredictions:
    def __init__(self, predictions: Predictions, reads: Reads) -> None:
        self._predictions, self._reads = predictions, reads

    def text(self, text: TextName) -> Conditioning:
        self._note(text)
        return self._predictions.text(text)

    def tuned(self, text: TextName) -> Tensor:
        self._note(text)
        return self._predictions.tuned(text)

    def original(self, text: TextName) -> Tensor:
        self._note(text)
        self._reads.note("original")
        return self._predictions.original(text)

    def _note(self, text: TextName) -> None:
        if text == "target":
            self._reads.note("target_text")


@contextmanager
def other_chance() -> Iterator[Callable[[], list[str]]]:
    """Global random states that nothing has met before; they are put back in the end.

    A component that seeds them to a number of its own would leave the states of its last call as they are.
    Yields a function that names the libraries whose state has changed since.
    """
    numpy = sys.modules.get("numpy")
    kept = torch.get_rng_state(), random.getstate(), numpy.random.get_state() if numpy else None
    torch.seed()
    random.seed()
    if numpy:
        numpy.random.seed()
    before = random_states(CPU)
    try:
        yield lambda: [name for name, state in random_states(CPU).items() if state != before.get(name, state)]
    finally:
        torch.set_rng_state(kept[0])
        random.setstate(kept[1])
        if numpy:
            numpy.random.set_state(kept[2])
