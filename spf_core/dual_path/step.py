"""One dual-path training step, as a pure function of its parts, the batch and the generator."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from spf_core.dual_path.contracts import BACKBONE, REFERENCE
from spf_core.dual_path.control_maps import widened
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.predictions import StepPredictions
from spf_core.dual_path.step_sampling import Texts, draw_states, draw_texts
from spf_core.dual_path.texts import as_tuned
from spf_core.interfaces import StepState, Term, TextName
from spf_core.interfaces.types import (
    Batch,
    Capture,
    Conditioning,
    LossReport,
    Noised,
    PathOutput,
    choose,
)
from spf_core.plugins.configs import TermConfig


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
        needs |= parts.map_needs | {"reference"} | ({"attention"} if parts.train.release else set())
    texts = draw_texts(len(batch.ids), parts.train, "reference" in needs, generator)
    noised = draw_states(parts, batch, texts, bool(needs & {"reference", "original"}), generator)
    capture = Capture(attention="attention" in needs, queries="queries" in needs)
    state = run_paths(
        parts,
        batch,
        noised,
        texts,
        capture,
        progress,
        reference="reference" in needs,
        mapped=mapped,
        generator=generator,
    )
    return state, _weigh(parts, active, state)


def run_paths(
    parts: Parts,
    batch: Batch,
    noised: Noised,
    texts: Texts,
    capture: Capture,
    progress: float,
    *,
    reference: bool,
    mapped: bool,
    generator: torch.Generator,
) -> StepState:
    """Run the response path and, if asked for, the reference path and the map.

    With a bank the reference is what is kept, and the response itself where nothing is.
    """
    device = batch.latents_BCHW.device
    known: dict[tuple[str, TextName], Tensor] = {}
    all_complete, all_base = bool(texts.target_B.all()), bool(texts.some_B.all())  # before they leave the CPU
    with_target_B, dropped_B = texts.target_B.to(device), texts.dropped_B.to(device)
    base = choose(texts.some_B.to(device), batch.base, batch.empty_rows)
    read = choose(with_target_B, batch.complete, base)
    live = reference and noised.reference is None
    # First, as later its activations would come on top of those that the response keeps for its gradients.
    frozen = _reference(parts, noised, base, capture) if live else None
    read = as_tuned(parts.backbone, parts.adapter, read, texts.words(batch.prompts))
    response = _response(parts, noised, read, capture)
    if all_complete:
        known["tuned", "complete"] = response.pred_BCHW
    if frozen and all_base:
        known["original", "base"] = frozen.pred_BCHW
    compared = base
    if reference and noised.reference:
        frozen = PathOutput.where(~noised.from_data_B, noised.reference, response.detached())
        compared = choose(noised.from_data_B, read, base)
    state = StepState(
        backbone=parts.backbone,
        batch=batch,
        noised=noised,
        response_text=read,
        reference_text=compared,
        response=response,
        reference=frozen,
        map_B1HW=None,
        has_target_B=with_target_B,
        dropped_B=dropped_B,
        progress=progress,
        adapter=parts.adapter,
        predictions=StepPredictions(parts, batch, noised, known, {"complete": read} if all_complete else {}),
        generator=generator,
        reward=parts.reward,
    )
    if not mapped:
        return state
    assert parts.control_map is not None, "the configuration guarantees a control map"
    map_B1HW = parts.contracts.map(parts.control_map, state)
    if state.batch.released_BL is not None:
        map_B1HW = widened(state, map_B1HW)
    map_B1HW = map_B1HW * with_target_B.view(-1, 1, 1, 1)
    return replace(state, map_B1HW=map_B1HW.masked_fill(dropped_B.view(-1, 1, 1, 1), 1))


def _response(parts: Parts, noised: Noised, read: Conditioning, capture: Capture) -> PathOutput:
    return parts.contracts.output(
        BACKBONE,
        lambda: parts.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, read, capture),
        noised.z_t_BCHW,
        frozen=False,
    )


def _reference(parts: Parts, noised: Noised, base: Conditioning, capture: Capture) -> PathOutput:
    reference = parts.reference
    assert reference is not None, "the configuration guarantees a reference path"
    return parts.contracts.output(
        REFERENCE,
        lambda: reference.run(parts.backbone, parts.adapter, noised, base, capture),
        noised.z_t_BCHW,
        frozen=True,
    )


def _weigh(parts: Parts, active: Mapping[str, tuple[TermConfig, Term]], state: StepState) -> LossReport:
    raw = {name: parts.contracts.term(name, term, state) for name, (_, term) in active.items()}
    # float16 ends at 65504, which a weight may exceed where the term itself does not.
    weighted = {name: active[name][0].weight * value.float() for name, value in raw.items()}
    total = torch.stack(list(weighted.values())).sum() if weighted else torch.zeros(())
    map_mean = None if state.map_B1HW is None else state.map_B1HW.mean()
    return LossReport(raw, weighted, total, map_mean)
