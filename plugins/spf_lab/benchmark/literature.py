"""Scores of the literature, pooled over a preset's training seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.pooling import shared_draws
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Estimate, estimate

Json = Mapping[str, Any]


def pooled_scores(cells: Sequence[Finished]) -> dict[str, dict[str, Any]]:
    """Column -> value, interval and facts, as in an evaluation's results.json.

    Means over pairs are pooled like the purity score: training seeds count as more seeds of a prompt.
    Distances of whole sets cannot be; their values are averaged over training seeds, and so are the ends of
    their intervals. What one training seed lacks is not available.
    """
    names = dict.fromkeys(name for each in cells for name in each.results.get("scores", {}))
    return {name: _pooled(name, cells) for name in names}


def _pooled(name: str, cells: Sequence[Finished]) -> dict[str, Any]:
    found = {each.cell.seed: each.results.get("scores", {}).get(name) for each in cells}
    for seed, column in found.items():
        if column is None or "not_available" in column:
            reason = column["not_available"] if column else "it was not computed"
            where = f"training seed {seed}: " if len(cells) > 1 else ""
            nothing = Estimate(None, (None, None)).to_json()
            return {**nothing, "not_available": f"{where}{reason}"}
    columns: list[Json] = [column for column in found.values() if column]
    facts = {key: columns[0][key] for key in ("original", "meaning", "better", "note")}
    failed = {
        f"{seed}:{pair}" if len(cells) > 1 else pair: why
        for seed, column in found.items()
        for pair, why in column["failed"].items()
    }
    return {
        **_value(name, columns, cells).to_json(),
        **facts,
        "pairs": sum(column["pairs"] for column in columns),
        "failed": failed,
    }


def _value(name: str, columns: Sequence[Json], cells: Sequence[Finished]) -> Estimate:
    if len(cells) == 1 or not all(name in each.rows[0]["scores"] for each in cells):
        ends = np.array([[column["value"], *column["ci"]] for column in columns], np.float64)
        value, low, high = (None if np.isnan(end) else float(end) for end in ends.mean(axis=0))
        return Estimate(value, (low, high))
    prompts = int(cells[0].results["n_prompts"])
    pairs = [_pairs(name, each).reshape(prompts, -1) for each in cells]
    means_R = shared_draws(prompts).mean(np.concatenate(pairs, axis=1).reshape(-1))
    return estimate(np.sqrt(means_R) if columns[0].get("root") else means_R)


def _pairs(name: str, cell: Finished) -> Floats:
    return np.array([row["scores"][name] for row in cell.rows], np.float64)
