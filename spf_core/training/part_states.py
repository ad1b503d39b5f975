"""What the parts of a run hold from step to step: kept in checkpoints, shared by processes."""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from spf_core.dual_path.parts import Parts
from spf_core.interfaces import AllocatesRank, Stateful
from spf_core.training.ema import EMA
from spf_core.utils.distributed import ProcessGroup


def stateful_parts(parts: Parts, average: EMA | None = None) -> dict[str, Stateful]:
    """The parts with a state of their own, by the prefix that their tensors have in a checkpoint."""
    named: dict[str, object] = {**_written_in_a_pass(parts), "average": average}
    if isinstance(parts.adapter, AllocatesRank):
        named["budget"] = parts.adapter.budget
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}


def _written_in_a_pass(parts: Parts) -> dict[str, Stateful]:
    """The control map and the terms: what forward passes write to."""
    terms = {f"term.{name}": term for name, (_, term) in parts.terms.items()}
    named: dict[str, object] = {"map": parts.control_map, **terms}
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}


def states_of(stateful: Mapping[str, Stateful]) -> dict[str, Tensor]:
    """The tensors of all parts, each under its part's prefix."""
    return {
        f"{prefix}/{name}": tensor
        for prefix, part in stateful.items()
        for name, tensor in part.state_dict().items()
    }


def load_states(stateful: Mapping[str, Stateful], state: Mapping[str, Tensor]) -> None:
    """Give every part its share of `states_of(stateful)` back."""
    for prefix, part in stateful.items():
        start = f"{prefix}/"
        part.load_state_dict({n.removeprefix(start): v for n, v in state.items() if n.startswith(start)})


@contextmanager
def shared_memory(parts: Parts, group: ProcessGroup) -> Iterator[None]:
    """What the parts take in within the context, they take in from every process, in the order of ranks."""
    if group.count == 1:
        yield
        return
    stateful = _written_in_a_pass(parts)
    before = states_of(stateful)
    yield
    new = {
        name: tensor.cpu() for name, tensor in states_of(stateful).items() if before.get(name) is not tensor
    }
    found = group.each(new)
    if any(found):
        load_states(stateful, dict(ChainMap(*reversed(found), before)))
