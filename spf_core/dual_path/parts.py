"""What a run is built of, around a loaded backbone and its attached adapter."""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from spf_core.training.ema import Average
from spf_core.plugins.building import built
from spf_core.plugins.configs import TermConfig
from spf_core.config.run_config import RunConfig
from spf_core.dual_path.contracts import BACKBONE, CONTROL_MAP, REFERENCE, REWARD, Contracts
from spf_core.interfaces import Adapter, Backbone, Budgeted, ControlMap, Reference, Reward, Stateful, Term
from spf_core.config.sections import TrainSection
from spf_core.utils.distributed import Together
from spf_core.preparation.trajectories import States


@dataclass(frozen=True)
class Parts:
    """What a run is built of; `terms` maps names to their schedule and their function.

    `contracts` calls them in a step.
    """

    train: TrainSection
    contracts: Contracts
    backbone: Backbone
    adapter: Adapter
    reference: Reference | None
    control_map: ControlMap | None
    map_needs: frozenset[str]
    terms: Mapping[str, tuple[TermConfig, Term]]
    reward: Reward | None = None
    states: States | None = None
    between: float = 0.0  # share of rows whose z_t still lacks some of the target
    average: Average | None = None  # of the trained weights


def build_parts(config: RunConfig, backbone: Backbone, adapter: Adapter) -> Parts:
    """Build every slot of the run around a loaded backbone and an adapter, which need not be attached yet.

    PluginError names the slot's component and its provider when it cannot be built.
    """
    slots = {
        CONTROL_MAP: config.control_map,
        REFERENCE: config.reference,
        BACKBONE: config.backbone,
        REWARD: config.reward,
    }
    terms = {name: term for name, term in config.terms.items() if term.weight > 0}
    contracts = Contracts({**terms, **{slot: chosen for slot, chosen in slots.items() if chosen}})
    return Parts(
        train=config.train,
        contracts=contracts,
        backbone=backbone,
        adapter=adapter,
        reference=built(config.reference) if config.reference else None,
        control_map=built(config.control_map) if config.control_map else None,
        map_needs=config.control_map.needs if config.control_map else frozenset(),
        terms={name: (term, built(term)) for name, term in terms.items()},
        reward=contracts.reward(built(config.reward)) if config.reward else None,
        between=config.counterfactuals.between,
    )


def remembered(parts: Parts, *, steps: bool = False) -> dict[str, Tensor]:
    """What the run's stateful parts hold, each under its own prefix.

    With `steps` only what forward passes write: the control map's memory and the terms'.
    """
    return {
        f"{prefix}/{name}": tensor
        for prefix, part in _stateful(parts, steps).items()
        for name, tensor in part.state_dict().items()
    }


def owners(parts: Parts) -> frozenset[str]:
    """The prefixes of what `remembered` may hold."""
    return frozenset(_stateful(parts, steps=False))


def remember(parts: Parts, state: Mapping[str, Tensor], *, steps: bool = False) -> None:
    """Give every stateful part its share of `remembered(parts)` back."""
    for prefix, part in _stateful(parts, steps).items():
        own = {
            name.removeprefix(f"{prefix}/"): value
            for name, value in state.items()
            if name.startswith(f"{prefix}/")
        }
        part.load_state_dict(own)


@contextmanager
def shared_memory(parts: Parts, together: Together) -> Iterator[None]:
    """What the parts take in within the context, they take in from every process, in the order of ranks."""
    if together.count == 1:
        yield
        return
    before = remembered(parts, steps=True)
    yield
    now = remembered(parts, steps=True)
    new = {name: tensor.cpu() for name, tensor in now.items() if before.get(name) is not tensor}
    found = together.each(new)
    if any(found):
        remember(parts, dict(ChainMap(*reversed(found), before)), steps=True)


def _stateful(parts: Parts, steps: bool) -> dict[str, Stateful]:
    named: dict[str, object] = {
        "map": parts.control_map,
        **{f"term.{name}": term for name, (_, term) in parts.terms.items()},
    }
    if not steps:
        named["average"] = parts.average
        if isinstance(parts.adapter, Budgeted):
            named["budget"] = parts.adapter.budget
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}
