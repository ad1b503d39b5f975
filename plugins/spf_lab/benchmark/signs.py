"""Sign tests: whether the differences that the paper reports point the same way here."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spf_lab.benchmark.analysis import Table, mean, on_common_seeds
from spf_lab.benchmark.tables import HOLDS
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Estimate, estimate

FULL = ("spf-paper", "spf")  # the method as the paper draws it, whose directions these are, and ours
BASELINES = ("naive", "lora")
SAME = 0.05  # of SPI: what counts as unchanged
FAILS, UNCLEAR = "does not hold", "unclear"


@dataclass(frozen=True)
class Expectation:
    """A claim about the contrast of some rows: that it lies within `low` and `high`."""

    claim: str
    formula: str
    rows: tuple[str, ...]
    contrast: Callable[[Table], Floats]
    low: float = -np.inf
    high: float = np.inf

    def verdict(self, found: Estimate) -> str:
        """Whether the whole interval says so, says the opposite, or leaves it open.

        An interval that is a single point on the border leaves it open: both rows are at an end of the scale,
        as where either pollutes a part as much as another draw does.
        """
        low, high = found.ci
        if low is None or high is None:
            return "not applicable"
        if self.low < low and high < self.high:
            return HOLDS
        below, above = high <= self.low and low < self.low, low >= self.high and high > self.high
        return FAILS if below or above else UNCLEAR


def sign_tests(strata: Mapping[str, Mapping[str, Table]]) -> list[dict[str, Any]]:
    """Every expectation, for each target that has its rows and, with several, for their mean.

    `strata` holds the tables of all prompts and of each stratum. The directions are judged on every preset of
    `FULL` that has ablations. Rows are compared on the training seeds that they share.
    """
    found = []
    for full in FULL:
        for prompts, tables in strata.items():
            present = {name for table in tables.values() for name in table}
            for expectation in expectations(full, present):
                rows = {target: _comparable(table, expectation.rows) for target, table in tables.items()}
                rows = {target: table for target, table in rows.items() if table}
                if rows:
                    found.append({"of": full, "prompts": prompts, **_tested(expectation, rows)})
    return found


def _comparable(table: Table, names: tuple[str, ...]) -> Table:
    """The named rows on the training seeds that all have; empty where one lacks."""
    if not table.keys() >= set(names):
        return {}
    return dict(zip(names, on_common_seeds([table[name] for name in names]), strict=False))


def expectations(full: str, present: Collection[str]) -> list[Expectation]:
    """The paper's directions for a preset `full`, whose ablation of a part is called `full`-no-`part`.

    The strongest pollution is compared with the ablations that are `present`.
    """
    no_sfcm, no_fine_grained = f"{full}-no-sfcm", f"{full}-no-fine-grained"
    no_text_consistency, no_enhancement = f"{full}-no-text-consistency", f"{full}-no-enhancement"
    others = tuple(name for name in (no_text_consistency, no_enhancement, no_sfcm) if name in present)
    without = {"fine-grained alignment": no_fine_grained, "text consistency": no_text_consistency}

    def polluted(what: str, part: str) -> Expectation:
        return _higher(f"without {what}, the {part} is polluted", part, without[what], full)

    return [
        _higher("without SFCM, more is preserved", "spi", full, no_sfcm),
        _below_half("without SFCM, the effect falls far (to less than half)", "effect", no_sfcm, full),
        *(polluted("fine-grained alignment", part) for part in ("layout", "identity")),
        *(_highest(part, no_fine_grained, others) for part in ("layout", "identity") if others),
        *(polluted("text consistency", part) for part in ("structure", "layout")),
        _higher("without enhancement, the effect falls", "effect", full, no_enhancement),
        _same(f"without enhancement, SPI stays (within {SAME})", "spi", no_enhancement, full),
        *(_higher(f"{full} is purer than {name}", "sps", full, name) for name in BASELINES),
    ]


def _higher(claim: str, measure: str, one: str, other: str) -> Expectation:
    formula = f"{measure}({one}) - {measure}({other}) > 0"
    return Expectation(
        claim,
        formula,
        (one, other),
        lambda table: table[one].measure(measure) - table[other].measure(measure),
        low=0.0,
    )


def _below_half(claim: str, measure: str, one: str, other: str) -> Expectation:
    formula = f"{measure}({one}) - {measure}({other}) / 2 < 0"
    return Expectation(
        claim,
        formula,
        (one, other),
        lambda table: table[one].measure(measure) - table[other].measure(measure) / 2,
        high=0.0,
    )


def _highest(part: str, one: str, others: tuple[str, ...]) -> Expectation:
    return Expectation(
        f"without fine-grained alignment, the {part} is polluted most of all ablations",
        f"{part}({one}) - max({', '.join(f'{part}({name})' for name in others)}) > 0",
        (one, *others),
        lambda table: (
            table[one].measure(part) - np.maximum.reduce([table[name].measure(part) for name in others])
        ),
        low=0.0,
    )


def _same(claim: str, measure: str, one: str, other: str) -> Expectation:
    formula = f"|{measure}({one}) - {measure}({other})| < {SAME}"
    return replace(_higher(claim, measure, one, other), formula=formula, low=-SAME, high=SAME)


def _tested(expectation: Expectation, tables: Mapping[str, Table]) -> dict[str, Any]:
    contrasts = {target: expectation.contrast(table) for target, table in tables.items()}
    found = {target: _judged(expectation, values) for target, values in contrasts.items()}
    several = {"mean": _judged(expectation, mean(list(contrasts.values())))} if len(tables) > 1 else {}
    return {"claim": expectation.claim, "formula": expectation.formula, "targets": found, **several}


def _judged(expectation: Expectation, replicates: Floats) -> dict[str, Any]:
    found = estimate(replicates)
    return {**found.to_json(), "verdict": expectation.verdict(found)}
