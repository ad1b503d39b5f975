"""One dual-path training step, as a pure function of its parts, the batch and the generator."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spf_core.components import TermConfig
from spf_core.config import RunConfig
from spf_core.errors import PluginError, SpfError
from spf_core.interfaces import (
    Adapter,
    Backbone,
    Budgeted,
    ControlMap,
    Reference,
    Reward,
    Stateful,
    StepState,
    Term,
    TextName,
)
from spf_core.noising import draw_timesteps, noise_latents, partly_with_target, replace_states
from spf_core.predictions import StepPredictions
from spf_core.sections import TrainSection
from spf_core.trajectories import Trajectories
from spf_core.types import Batch, Capture, LossReport, Noised, choose


@dataclass(frozen=True)
class Parts:
    """What a run is built of; `terms` maps names to their schedule and their function."""

    train: TrainSection
    backbone: Backbone
    adapter: Adapter
    reference: Reference | None
    control_map: ControlMap | None
    map_needs: frozenset[str]
    terms: Mapping[str, tuple[TermConfig, Term]]
    reward: Reward | None = None
    trajectories: Trajectories | None = None
    between: float = 0.0  # share of rows whose z_t still lacks some of the target


def build_parts(
    config: RunConfig, backbone: Backbone, adapter: Adapter, trajectories: Trajectories | None = None
) -> Parts:
    """Build every slot of the run around a loaded backbone and its attached adapter."""
    return Parts(
        train=config.train,
        backbone=backbone,
        adapter=adapter,
        reference=config.reference.build() if config.reference else None,
        control_map=config.control_map.build() if config.control_map else None,
        map_needs=config.control_map.needs if config.control_map else frozenset(),
        terms={name: (term, term.build()) for name, term in config.terms.items() if term.weight > 0},
        reward=config.reward.build() if config.reward else None,
        trajectories=trajectories,
        between=config.counterfactuals.between,
    )


def remembered(parts: Parts) -> dict[str, Tensor]:
    """What the run's stateful parts hold, each under its own prefix."""
    return {
        f"{prefix}/{name}": tensor
        for prefix, part in _stateful(parts).items()
        for name, tensor in part.state_dict().items()
    }


def remember(parts: Parts, state: Mapping[str, Tensor]) -> None:
    """Give every stateful part its share of `remembered(parts)` back."""
    for prefix, part in _stateful(parts).items():
        own = {
            name.removeprefix(f"{prefix}/"): value
            for name, value in state.items()
            if name.startswith(f"{prefix}/")
        }
        part.load_state_dict(own)


def _stateful(parts: Parts) -> dict[str, Stateful]:
    named: dict[str, object] = {
        "map": parts.control_map,
        **{f"term.{name}": term for name, (_, term) in parts.terms.items()},
    }
    if isinstance(parts.adapter, Budgeted):
        named["budget"] = parts.adapter.budget
    return {name: part for name, part in named.items() if isinstance(part, Stateful)}


def dual_path_step(
    parts: Parts, batch: Batch, progress: float, *, generator: torch.Generator
) -> tuple[StepState, LossReport]:
    """Response path, reference path, control map, losses: both paths see the same z_t and t.

    `progress` in [0, 1) decides which terms are active. Only what an active term or the control map
    reads is computed: without one that reads the reference there is no reference forward.
    """
    active = {name: term for name, term in parts.terms.items() if term[0].active(progress)}
    needs: frozenset[str] = frozenset(need for term, _ in active.values() for need in term.needs)
    mapped = "map" in needs
    if mapped:
        needs |= parts.map_needs | {"reference"}
    with_target, with_text = _draw_texts(len(batch.ids), parts.train, "reference" in needs, generator)
    noised = _draw_states(parts, batch, bool(needs & {"reference", "original"}), generator)
    capture = Capture(attention="attention" in needs, queries="queries" in needs)
    state = run_paths(
        parts,
        batch,
        noised,
        with_target,
        with_text,
        capture,
        progress,
        reference="reference" in needs,
        mapped=mapped,
        generator=generator,
    )
    return state, _weigh(active, state)


def run_paths(
    parts: Parts,
    batch: Batch,
    noised: Noised,
    with_target_B: Tensor,
    with_text_B: Tensor,
    capture: Capture,
    progress: float,
    *,
    reference: bool,
    mapped: bool,
    generator: torch.Generator,
) -> StepState:
    """Run the response path and, if asked for, the reference path and the map."""
    device = batch.latents_BCHW.device
    known: dict[tuple[str, TextName], Tensor] = {}
    all_complete, all_base = bool(with_target_B.all()), bool(with_text_B.all())  # before they leave the CPU
    with_target_B = with_target_B.to(device)
    base = choose(with_text_B.to(device), batch.base, batch.empty)
    texts = choose(with_target_B, batch.complete, base)
    response = parts.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, texts, capture)
    if all_complete:
        known["tuned", "complete"] = response.pred_BCHW
    frozen = None
    if reference:
        assert parts.reference is not None, "the configuration guarantees a reference path"
        frozen = parts.reference.run(parts.backbone, parts.adapter, noised, base, capture)
        if all_base:
            known["original", "base"] = frozen.pred_BCHW
    state = StepState(
        backbone=parts.backbone,
        batch=batch,
        noised=noised,
        response_text=texts,
        reference_text=base,
        response=response,
        reference=frozen,
        map_B1HW=None,
        has_target_B=with_target_B,
        progress=progress,
        adapter=parts.adapter,
        predictions=StepPredictions(parts.backbone, parts.adapter, parts.reference, batch, noised, known),
        generator=generator,
        reward=parts.reward,
    )
    if not mapped:
        return state
    assert parts.control_map is not None, "the configuration guarantees a control map"
    map_B1HW = _call("control map", parts.control_map, state).detach()
    return replace(state, map_B1HW=map_B1HW * with_target_B.view(-1, 1, 1, 1))


def _draw_states(parts: Parts, batch: Batch, has_reference: bool, generator: torch.Generator) -> Noised:
    """Noise the training images; under alignment, some rows continue the original model's sampling."""
    train, abar_T, size = parts.train, parts.backbone.abar_T, len(batch.ids)
    timesteps = draw_timesteps(size, len(abar_T), train.min_timestep, train.max_timestep, generator=generator)
    seen = _seen(parts, batch, timesteps, generator)
    noised = noise_latents(batch.latents_BCHW, timesteps, abar_T, generator=generator, seen_BCHW=seen)
    if parts.trajectories is None or not has_reference:
        return noised
    from_noise = (torch.rand(size, generator=generator) < train.noise_share).to(noised.timesteps_B.device)
    states, times = parts.trajectories.draw(batch.rows, generator=generator)
    return replace_states(noised, from_noise, states, times, abar_T)


def _seen(parts: Parts, batch: Batch, timesteps_B: Tensor, generator: torch.Generator) -> Tensor | None:
    """What is noised: with counterfactuals, pictures that in some rows still lack some of the target."""
    if batch.without_BCHW is None:
        return None
    return partly_with_target(
        batch.latents_BCHW,
        batch.without_BCHW,
        timesteps_B,
        len(parts.backbone.abar_T),
        parts.between,
        generator=generator,
    )


def _draw_texts(
    size: int, train: TrainSection, has_reference: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Which rows read their target, and which read any text; the draw is made either way. On the CPU."""
    u_B = torch.rand(size, generator=generator)
    if not has_reference:
        return torch.ones(size, dtype=torch.bool), torch.ones(size, dtype=torch.bool)
    with_target = u_B >= train.base_share + train.empty_share
    return with_target, u_B >= train.empty_share


def _weigh(active: Mapping[str, tuple[TermConfig, Term]], state: StepState) -> LossReport:
    raw = {name: _call(f"loss '{name}'", term, state) for name, (_, term) in active.items()}
    weighted = {name: active[name][0].weight * value for name, value in raw.items()}
    total = torch.stack(list(weighted.values())).sum() if weighted else torch.zeros(())
    map_mean = None if state.map_B1HW is None else state.map_B1HW.mean()
    return LossReport(raw, weighted, total, map_mean)


def _call(what: str, part: ControlMap | Term, state: StepState) -> Tensor:
    try:
        return part(state)
    except SpfError:
        raise
    except Exception as error:
        message = " ".join(str(error).split())
        raise PluginError(
            f"{what} failed in the step: {type(error).__name__}: {message}. "
            "Leave it out, or report it to its provider (spf plugins show)"
        ) from error
