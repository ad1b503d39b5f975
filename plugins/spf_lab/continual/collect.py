"""Finished sequences read back: scores of every stage and target as bootstrap replicates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from spf_core.errors import RunError
from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors
from spf_core.runs.run import file_hash
from spf_core.training.warm_start import WARM_START_HASH
from spf_core.utils.json_text import read_json
from spf_lab.benchmark.costs import Cost, read_cost
from spf_lab.benchmark.pooling import read_numbers, shared_draws
from spf_lab.continual.plan import Stage, Stages
from spf_lab.continual.spec import ContinualSpec
from spf_lab.continual.stage import joint_file
from spf_lab.evaluation.measure import PairNumbers, stratum
from spf_lab.evaluation.metrics import comparable
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.readout import STRATA, STRATUM
from spf_lab.evaluation.saved import Json, read_evaluation
from spf_lab.evaluation.scores import score_replicates
from spf_lab.evaluation.statistics import Bootstrap

MATRICES = {"effect": "effect", "spi": "spi", "hit": "hit_rate", "base_leak": "base_leak"}
Pairs = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Trace:
    """A finished sequence.

    `matrices` hold K x K x R scores of target i, in the order of learning, after stage k; NaN where a target
    was not judged. `rec_KR` is the likeness under the base text alone, 0 to 100. `results` are those of one
    evaluation, for what all have in common; `pairs` what each target was judged on. `strata` holds R means
    over the targets after the last stage, of explicit and of silent prompts alone; `ceilings` is what a
    perfect edit of each target has.
    """

    sequence: Stages
    matrices: dict[str, Floats]
    rec_KR: Floats
    joint: dict[str, Any]
    costs: tuple[Cost, ...]
    results: Json
    pairs: dict[str, Pairs]
    strata: dict[str, dict[str, Floats]]
    ceilings: dict[str, Json]


def read_sequences(sequences: Sequence[Stages], spec: ContinualSpec, out: Path) -> list[Trace]:
    """Read finished sequences; RunError when one is damaged or they cannot be compared."""
    draws = Bootstrap(spec.evaluation.prompts)
    found = [_read(sequence, spec, out, draws) for sequence in sequences]
    for each in found:
        same = each.pairs == found[0].pairs and comparable(each.results, found[0].results)
        if not same or each.results["model_hash"] != found[0].results["model_hash"]:
            raise RunError(
                f"sequences '{found[0].sequence.name}' and '{each.sequence.name}' cannot be compared: "
                f"they have other base weights, prompts, seeds or metrics; "
                f"delete the folder of either in '{out / 'sequences'}'"
            )
    return found


def _read(sequence: Stages, spec: ContinualSpec, out: Path, draws: Bootstrap) -> Trace:
    try:
        return _trace(sequence, spec, out, draws)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RunError(
            f"sequence '{sequence.folder(out)}' is damaged ({reason}); delete that folder and run it again"
        ) from None


def _trace(sequence: Stages, spec: ContinualSpec, out: Path, draws: Bootstrap) -> Trace:
    order, stages = sequence.order, list(sequence)
    shape = (len(order), len(order), len(draws.weights_RP))
    matrices = {name: np.full(shape, np.nan) for name in MATRICES}
    results: Json = {}
    rec_KR, pairs, ceilings = [], dict[str, Pairs](), dict[str, Json]()
    for k, stage in enumerate(stages):
        refuse_other_weights(stage, out)
        recs, judged = [], list[PairNumbers]()
        for target in stage.judged(spec):
            results, rows = _evaluation(stage, target, out)
            ceilings[target] = results.get("ceiling", {})
            judged.append(read_numbers(results, rows))
            scores = score_replicates(judged[-1], draws).headline
            for name, score in MATRICES.items():
                matrices[name][k, order.index(target)] = scores[score]
            recs.append(scores["rec"])
            judged_on = tuple((row["complete_text"], row["noise"]) for row in rows)
            if pairs.setdefault(target, judged_on) != judged_on:
                raise ValueError(f"{stage.name} was evaluated on other prompts than the stages before")
        rec_KR.append(np.mean(recs, axis=0))
    joint = read_json(joint_file(sequence, out))
    costs = tuple(read_cost(stage.run(out), None) for stage in stages)
    strata = _strata(judged)  # every target is judged after the last stage
    return Trace(sequence, matrices, np.stack(rec_KR), joint, costs, results, pairs, strata, ceilings)


def _strata(judged: Sequence[PairNumbers]) -> dict[str, dict[str, Floats]]:
    """R means over targets of what `STRATUM` names, from the prompts of each stratum that has any."""
    found = {}
    for name in STRATA:
        parts = [part for numbers in judged if (part := stratum(numbers, name))]
        if parts:
            scores = [score_replicates(part, shared_draws(part.prompts)).headline for part in parts]
            found[name] = {key: np.mean([each[key] for each in scores], axis=0) for key in STRATUM}
    return found


def _evaluation(stage: Stage, target: str, out: Path) -> tuple[Json, list[Json]]:
    folder = stage.evaluation(out, target)
    results, rows = read_evaluation(folder)
    if results["adapter_hash"] != file_hash(stage.run(out) / ADAPTER_FILE):
        raise _stale(folder, "is of other weights than the stage has now")
    return results, rows


def refuse_other_weights(stage: Stage, out: Path) -> None:
    """RunError when the stage did not begin with the weights that the stage before has now."""
    before = stage.start
    if before is None:
        return
    _, metadata = read_safetensors(stage.run(out) / ADAPTER_FILE)
    if metadata.get(WARM_START_HASH) != file_hash(before.run(out) / ADAPTER_FILE):
        raise _stale(stage.folder(out), f"started from other weights than stage {before.number} has now")


def _stale(folder: Path, how: str) -> RunError:
    return RunError(f"'{folder}' {how}; delete that folder and those of later stages, then run it again")
