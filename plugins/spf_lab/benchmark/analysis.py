"""Scores pooled over training seeds, and how presets compare on the same prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.leaks import frontier_row, leakage_row
from spf_lab.benchmark.literature import pooled_scores
from spf_lab.benchmark.pooling import join, shared_draws
from spf_lab.benchmark.spec import PresetEntry
from spf_lab.evaluation.measure import stratum as stratum_of
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.scores import ScoreReplicates, score_replicates
from spf_lab.evaluation.statistics import Estimate, Exchanges, estimate, exchange_p, holm

COMPARED = ("sps", "spi", "effect")


@dataclass(frozen=True)
class Row:
    """A preset on a target: its finished cells, one per training seed, and their pooled scores."""

    entry: PresetEntry
    cells: tuple[Finished, ...]
    scores: ScoreReplicates
    stratum: str | None = None  # whose prompts alone the scores are of

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds."""
        return tuple(each.cell.seed for each in self.cells)

    @property
    def shown(self) -> Finished | None:
        """The cell that pictures are shown of: the first that keeps them."""
        return next((each for each in self.cells if each.sheet), None)

    def measure(self, name: str) -> Floats:
        """Replicates of a headline score, or of a part of pollution."""
        return self.scores.headline[name] if name in self.scores.headline else self.scores.parts[name]

    def to_json(self) -> dict[str, Any]:
        """Scores with intervals; costs: means per step and per run, highest memory."""
        found, results = self.scores.estimates, [each.results for each in self.cells]
        return {
            "preset": self.entry.preset,
            "set": list(self.entry.assignments),
            **{name: value.to_json() for name, value in found.headline.items()},
            "parts": {name: value.to_json() for name, value in found.parts.items()},
            "n_prompts": results[0]["n_prompts"],
            "n_seeds": results[0]["n_seeds"],
            "sps_of_training_seed": {str(each.cell.seed): each.results["sps"] for each in self.cells},
            "handover": [each["sampling"]["handover"] for each in results],
            **self.costs,
            "scores": pooled_scores(self.cells),
            "leakage": leakage_row(results),
            "frontier": frontier_row(results),
        }

    @property
    def costs(self) -> dict[str, Any]:
        """Costs over the training seeds that ran on the first one's kind of device: others cost otherwise."""
        device = _device(self.cells[0])
        costs = [each.cost for each in self.cells if _device(each) == device]
        steps, seconds = sum(cost.steps for cost in costs), sum(cost.seconds for cost in costs)
        return {
            "training_seeds": list(self.seeds),
            "device": device,
            "steps": costs[0].steps,
            "seconds_per_step": seconds / steps if steps else None,
            "seconds_per_run": (seconds + sum(cost.preparation_seconds for cost in costs)) / len(costs),
            "peak_memory_mib": max(cost.peak_memory_mib for cost in costs),
            "trainable_parameters": costs[0].trainable_parameters,
            "evaluation_seconds": [cost.evaluation_seconds for cost in costs],
        }


def _device(cell: Finished) -> str:
    return str(cell.results.get("environment", {}).get("device", "cpu"))


Table = Mapping[str, Row]


def headline(row: Row) -> dict[str, Any]:
    """The headline scores of a row with their intervals."""
    return {name: value.to_json() for name, value in row.scores.estimates.headline.items()}


def make_tables(found: Sequence[Finished], stratum: str | None = None) -> dict[str, dict[str, Row]]:
    """Target -> preset's name -> row, of all prompts or of a stratum's, where it has any.

    One set of bootstrap draws serves all, so that differences are paired.

    Training seeds count as more seeds of the same prompt: prompts are the clusters, and every ratio is
    recomputed from the pooled means inside each replicate.
    """
    cells: dict[str, dict[str, list[Finished]]] = {}
    for each in found:
        cells.setdefault(each.cell.target, {}).setdefault(each.cell.entry.name, []).append(each)
    rows = {
        target: {name: _row(several, stratum) for name, several in by_name.items()}
        for target, by_name in cells.items()
    }
    return {target: {name: row for name, row in by_name.items() if row} for target, by_name in rows.items()}


def mean(several: Sequence[Floats]) -> Floats:
    """The mean of arrays of replicates."""
    total: Floats = sum(several[1:], start=several[0]) / len(several)
    return total


def on_common_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows, limited to the training seeds that all of them have; none where there is no such seed."""
    common = set.intersection(*(set(row.seeds) for row in rows))
    if not common:
        return []
    limited = [
        row
        if set(row.seeds) == common
        else _row([each for each in row.cells if each.cell.seed in common], row.stratum)
        for row in rows
    ]
    return [row for row in limited if row]


@dataclass(frozen=True)
class PairedTest:
    """The reference less another preset, on the training seeds that both have; p by exchanging prompts."""

    reference: str
    against: str
    measure: str
    difference: Estimate
    p: float | None
    p_holm: float | None
    seeds: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The test as plain values."""
        return {
            "reference": self.reference,
            "against": self.against,
            "measure": self.measure,
            "difference": self.difference.to_json(),
            "p": self.p,
            "p_holm": self.p_holm,
            "training_seeds": list(self.seeds),
        }


def paired_tests(table: Table, reference: str) -> list[PairedTest]:
    """The reference against every other row; p values are Holm-adjusted over all tests of the table."""
    if reference not in table:
        return []
    others = [name for name in table if name != reference]
    tests = [test for name in others for test in _tests(table[reference], table[name])]
    adjusted = holm([test.p for test in tests])
    return [
        PairedTest(test.reference, test.against, test.measure, test.difference, test.p, p, test.seeds)
        for test, p in zip(tests, adjusted, strict=True)
    ]


def _row(cells: Sequence[Finished], stratum: str | None) -> Row | None:
    """The pooled row; None where the stratum has no prompt."""
    ordered = tuple(sorted(cells, key=lambda each: each.cell.seed))
    numbers = join([each.numbers for each in ordered], along="seeds")
    part = numbers if stratum is None else stratum_of(numbers, stratum)
    if part is None:
        return None
    scores = score_replicates(part, shared_draws(part.prompts))
    return Row(ordered[0].cell.entry, ordered, scores, stratum)


def _tests(reference: Row, other: Row) -> list[PairedTest]:
    """Unadjusted. Under the hypothesis of no difference a prompt's results could as well be exchanged."""
    arms = on_common_seeds([reference, other])
    if not arms:
        return []
    one, two = (row.scores.headline for row in arms)
    pooled = [join([each.numbers for each in row.cells], along="seeds") for row in arms]
    exchanges, both = Exchanges(pooled[0].prompts), join(pooled, along="prompts")
    first, second = (score_replicates(both, arm).headline for arm in (exchanges.first, exchanges.second))
    return [
        PairedTest(
            reference=reference.entry.name,
            against=other.entry.name,
            measure=name,
            difference=estimate(one[name] - two[name]),
            p=exchange_p(first[name] - second[name]),
            p_holm=None,
            seeds=arms[0].seeds,
        )
        for name in COMPARED
    ]
