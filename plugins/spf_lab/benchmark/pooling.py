"""Per-pair numbers of an evaluation's files, pooled over training seeds or laid one after another."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from spf_lab.evaluation.measure import Comparison, PairNumbers
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Bootstrap

Row = Mapping[str, Any]


def read_numbers(results: Row, rows: Sequence[Row]) -> PairNumbers:
    """The numbers in `results.json` and the rows of `pairs.jsonl`; KeyError or ValueError when some lack."""
    calibration, prompts, seeds = results["calibration"], results["n_prompts"], results["n_seeds"]
    if len(rows) != prompts * seeds:
        raise ValueError(f"{len(rows)} of {prompts * seeds} rows in pairs.jsonl")
    tuned, prompted, base = (
        Comparison(*(_distances(rows, name, calibration["parts"], kind) for kind in ("distance", "reseed")))
        for name in ("tuned", "prompted", "base")
    )
    return PairNumbers(
        prompts=prompts,
        parts=calibration["parts"],
        tuned=tuned,
        prompted=prompted,
        base=base,
        floor=calibration["floor"],
        tau={role: _column(rows, "tau", role) for role in ("a", "b", "c", "d")},
        tau_ref=calibration["tau_ref"],
        region_share=_column(rows, "region_share"),
    )


def join(several: Sequence[PairNumbers], *, along: Literal["seeds", "prompts"]) -> PairNumbers:
    """One set of numbers: more seeds of the same prompts, or one set of prompts after another."""
    sizes, axis = [each.prompts for each in several], 1 if along == "seeds" else 0

    def arrays(values: Sequence[Floats]) -> Floats:
        shaped_PS = [array.reshape(prompts, -1) for array, prompts in zip(values, sizes, strict=True)]
        return np.concatenate(shaped_PS, axis=axis).reshape(-1)

    def mapping(values: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
        return {name: arrays([each[name] for each in values]) for name in values[0]}

    def comparison(values: Sequence[Comparison]) -> Comparison:
        return Comparison(
            mapping([each.distances for each in values]), mapping([each.reseed for each in values])
        )

    return PairNumbers(
        prompts=sizes[0] if along == "seeds" else sum(sizes),
        parts=several[0].parts,
        tuned=comparison([each.tuned for each in several]),
        prompted=comparison([each.prompted for each in several]),
        base=comparison([each.base for each in several]),
        floor=_means([each.floor for each in several]),
        tau=mapping([each.tau for each in several]),
        tau_ref=float(np.mean([each.tau_ref for each in several])),
        region_share=arrays([each.region_share for each in several]),
    )


@lru_cache(maxsize=4)
def shared_draws(prompts: int) -> Bootstrap:
    """The bootstrap draws of that many prompts: the same for all statistics, so that they vary jointly."""
    return Bootstrap(prompts)


def _means(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([each[name] for each in several])) for name in several[0]}


def _distances(rows: Sequence[Row], name: str, metrics: Row, kind: str) -> dict[str, Floats]:
    return {metric: _column(rows, "distances", name, metric, kind) for metric in metrics}


def _column(rows: Sequence[Row], *path: str) -> Floats:
    """The values at `path` of every row; null is NaN."""
    values: list[Any] = list(rows)
    for key in path:
        values = [value[key] for value in values]
    return np.array(values, np.float64)
