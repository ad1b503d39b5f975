"""One dual-path training step, as a pure function of its parts, the batch and the generator."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from spf_core.dual_path.contracts import BACKBONE, REFERENCE
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.predictions import StepPredictions
from spf_core.dual_path.step_sampling import Texts, draw_states, draw_texts
from spf_core.dual_path.texts import as_tuned
from spf_core.helpers import middle_attention, min_max
from spf_core.interfaces import StepState, Term
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
        # The map reads both paths, whatever the terms read; released phrases are found by their attention.
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
    return state, weigh_terms(parts, active, state)


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
    """Run the response path and, where a term needs them, the reference path and the map."""
    read = texts.read(batch)
    # The reference runs first: after the response, its activations would come on top of those that the
    # response keeps for its gradients, and the step's peak would be higher by them.
    frozen = run_reference(parts, noised, read.base, capture) if reference else None
    tuned = as_tuned(parts.backbone, parts.adapter, read.complete, texts.words(batch.prompts))
    response = run_response(parts, noised, tuned, capture)
    frozen, compared = align_known_rows(noised, frozen, response, read.base, tuned)
    state = StepState(
        backbone=parts.backbone,
        batch=batch,
        noised=noised,
        response_text=tuned,
        reference_text=compared,
        response=response,
        reference=frozen,
        map_B1HW=None,
        has_target_B=read.target_B,
        dropped_B=read.dropped_B,
        progress=progress,
        adapter=parts.adapter,
        predictions=StepPredictions.beside(parts, batch, noised, texts, response, frozen, tuned),
        generator=generator,
        reward=parts.reward,
    )
    return replace(state, map_B1HW=build_map(parts, state)) if mapped else state


def run_response(parts: Parts, noised: Noised, text: Conditioning, capture: Capture) -> PathOutput:
    """eps_theta(z_t, t, text) with gradient: the tuned model."""
    return parts.contracts.output(
        BACKBONE,
        lambda: parts.backbone.predict(noised.z_t_BCHW, noised.timesteps_B, text, capture),
        noised.z_t_BCHW,
        frozen=False,
    )


def run_reference(parts: Parts, noised: Noised, base: Conditioning, capture: Capture) -> PathOutput:
    """eps_theta0(z_t, t, base text) without gradient: the original model, or what is recorded of it."""
    if noised.reference:
        return noised.reference
    reference = parts.reference
    assert reference is not None, "the configuration guarantees a reference path"
    return parts.contracts.output(
        REFERENCE,
        lambda: reference.run(parts.backbone, parts.adapter, noised, base, capture),
        noised.z_t_BCHW,
        frozen=True,
    )


def align_known_rows(
    noised: Noised,
    frozen: PathOutput | None,
    response: PathOutput,
    base: Conditioning,
    tuned: Conditioning,
) -> tuple[PathOutput | None, Conditioning]:
    """The reference's output and text for every row, of which a recorded reference knows some.

    A row that it does not know is compared with itself, so that every distance between the paths is 0 there
    and has no gradient.
    """
    if frozen is None or noised.reference is None:
        return frozen, base
    # What is recorded serves every step of the run; a step captures only what its active terms read.
    unknown_B = noised.from_data_B
    return PathOutput.where(unknown_B, response.detached(), frozen), choose(unknown_B, tuned, base)


def build_map(parts: Parts, state: StepState) -> Tensor:
    """M, B 1 H W in [0, 1]: 1 where the target may respond, 0 where the reference is to be kept."""
    assert parts.control_map is not None, "the configuration guarantees a control map"
    map_B1HW = parts.contracts.map(parts.control_map, state)
    if state.batch.released_BL is not None:
        map_B1HW = _widened(state, map_B1HW)
    # Without its target a row has nothing to respond with: all of it is held to the reference.
    map_B1HW = map_B1HW * state.has_target_B.view(-1, 1, 1, 1)
    # Caption dropout teaches the whole image under the empty text, so nothing of such a row is held.
    return map_B1HW.masked_fill(state.dropped_B.view(-1, 1, 1, 1), 1)


def _widened(state: StepState, map_B1HW: Tensor) -> Tensor:
    """max(M, norm(A[released phrases])) by the reference path's attention, B 1 H W."""
    released_BL = state.batch.released_BL
    assert released_BL is not None, "the configuration guarantees released phrases"
    assert state.reference is not None, "the configuration guarantees a reference path"
    attention = middle_attention(
        state.reference.attention, released_BL[:, None], state.grids, map_B1HW.shape[-2:]
    )
    return torch.maximum(map_B1HW, min_max(attention))


def weigh_terms(parts: Parts, active: Mapping[str, tuple[TermConfig, Term]], state: StepState) -> LossReport:
    """L = sum_i w_i L_i over the active terms; they stay a named dict until this last line."""
    raw = {name: parts.contracts.term(name, term, state) for name, (_, term) in active.items()}
    # float16 ends at 65504, which a weight may exceed where the term itself does not.
    weighted = {name: active[name][0].weight * value.float() for name, value in raw.items()}
    total = torch.stack(list(weighted.values())).sum() if weighted else torch.zeros(())
    map_mean = None if state.map_B1HW is None else state.map_B1HW.mean()
    return LossReport(raw, weighted, total, map_mean)
