"""Presets over all targets: means of scores and costs, and the best of each family."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spf_lab.benchmark.analysis import Row, Table, mean
from spf_lab.benchmark.spec import BenchmarkSpec
from spf_lab.evaluation.statistics import estimate


def mean_over_targets(
    tables: Mapping[str, Table], strata: Mapping[str, Mapping[str, Table]]
) -> dict[str, dict[str, Any]]:
    """Means over all targets, for presets that were run on each of them, and the same of each stratum."""
    return {
        name: {
            **mean_row([table[name] for table in tables.values()]),
            "strata": {
                key: mean_headline([table[name] for table in several.values()])
                for key, several in strata.items()
                if name in on_all(several)
            },
        }
        for name in on_all(tables)
    }


def on_all(tables: Mapping[str, Table]) -> list[str]:
    """Presets that were run on every target."""
    first, *others = tables.values()
    return [name for name in first if all(name in table for table in others)]


def mean_headline(rows: Sequence[Row]) -> dict[str, Any]:
    """Means of the headline scores of one row for each target."""
    return {
        measure: estimate(mean([row.measure(measure) for row in rows])).to_json()
        for measure in rows[0].scores.headline
    }


def best_of_families(spec: BenchmarkSpec, tables: Mapping[str, Table]) -> dict[str, dict[str, Any]]:
    """Family -> the mean over targets of its best preset on each; `chosen` names it by target.

    The best has the highest SPS in the target's own table. A family has several presets and was run on every
    target.
    """
    families: dict[str, list[str]] = {}
    for entry in spec.presets:
        if entry.family is not None:
            families.setdefault(entry.family, []).append(entry.name)
    found = {}
    for family, names in families.items():
        best = {target: _best(table, names) for target, table in tables.items()}
        rows = [row for row in best.values() if row]
        if len(names) > 1 and len(rows) == len(tables):
            chosen = {target: row.entry.name for target, row in best.items() if row}
            found[family] = {**mean_row(rows), "chosen": chosen}
    return found


def mean_row(rows: Sequence[Row]) -> dict[str, Any]:
    """Means of the headline scores of one row for each target; highest memory and number of parameters.

    Costs are those of the targets that ran on the first one's kind of device.
    """
    costs = [row.costs for row in rows]
    costs = [cost for cost in costs if cost["device"] == costs[0]["device"]]
    return {
        **mean_headline(rows),
        "device": costs[0]["device"],
        "seconds_per_step": _mean([cost["seconds_per_step"] for cost in costs]),
        "seconds_per_run": sum(cost["seconds_per_run"] for cost in costs) / len(costs),
        "training_seeds": [seed for row in rows for seed in row.seeds],
        "handover": [each.results["sampling"]["handover"] for row in rows for each in row.cells],
        "peak_memory_mib": max(cost["peak_memory_mib"] for cost in costs),
        "trainable_parameters": max(cost["trainable_parameters"] for cost in costs),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _best(table: Table, names: Sequence[str]) -> Row | None:
    rows = [table[name] for name in names if name in table]
    return max(rows, key=lambda row: float(np.nan_to_num(row.measure("sps")[0], nan=-1.0)), default=None)
