"""What a run is built of, around a loaded backbone and its attached adapter."""

from collections.abc import Mapping
from dataclasses import dataclass

from spf_core.config.sections import TrainSection
from spf_core.config.views import StepSettings
from spf_core.dual_path.contracts import BACKBONE, CONTROL_MAP, REFERENCE, REWARD, Contracts
from spf_core.interfaces import Adapter, Backbone, ControlMap, Reference, Reward, Term
from spf_core.interfaces.training import States
from spf_core.plugins.building import built
from spf_core.plugins.configs import TermConfig


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


def build_parts(settings: StepSettings, backbone: Backbone, adapter: Adapter) -> Parts:
    """Build every slot of the run around a loaded backbone and an adapter, which need not be attached yet.

    PluginError names the slot's component and its provider when it cannot be built.
    """
    slots = {
        CONTROL_MAP: settings.control_map,
        REFERENCE: settings.reference,
        BACKBONE: settings.backbone,
        REWARD: settings.reward,
    }
    chosen = {slot: config for slot, config in slots.items() if config}
    contracts = Contracts({**settings.terms, **chosen})
    return Parts(
        train=settings.train,
        contracts=contracts,
        backbone=backbone,
        adapter=adapter,
        reference=built(settings.reference) if settings.reference else None,
        control_map=built(settings.control_map) if settings.control_map else None,
        map_needs=settings.control_map.needs if settings.control_map else frozenset(),
        terms={name: (term, built(term)) for name, term in settings.terms.items()},
        reward=contracts.reward(built(settings.reward)) if settings.reward else None,
        between=settings.between,
    )
