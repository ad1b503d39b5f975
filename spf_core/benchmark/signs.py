"""Sign tests: whether the differences that the paper reports point the same way here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spf_core.benchmark.analysis import Table, mean, on_common_seeds
from spf_core.evaluation.purity import Floats
from spf_core.evaluation.statistics import Estimate, estimate

FULL, NO_SFCM, NO_FINE_GRAINED = "spf", "spf-no-sfcm", "spf-no-fine-grained"
NO_TEXT_CONSISTENCY, NO_ENHANCEMENT = "spf-no-text-consistency", "spf-no-enhancement"
ABLATIONS = (NO_TEXT_CONSISTENCY, NO_FINE_GRAINED, NO_ENHANCEMENT, NO_SFCM)
BASELINES = ("naive", "lora")
SAME = 0.05  # of SPI: what counts as unchanged
HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "unclear"


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
        """Whether the whole interval says so, says the opposite, or leaves it open."""
        low, high = found.ci
        if low is None or high is None:
            return "not applicable"
        if self.low < low and high < self.high:
            return HOLDS
        return FAILS if high <= self.low or low >= self.high else UNCLEAR


def sign_tests(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Every expectation, for each target that has its rows and, with several, for their mean.

    Rows are compared on the training seeds that they share.
    """
    present = {name for table in tables.values() for name in table}
    found = []
    for expectation in expectations(tuple(name for name in ABLATIONS if name in present)):
        rows = {target: _comparable(table, expectation.rows) for target, table in tables.items()}
        rows = {target: table for target, table in rows.items() if table}
        if rows:
            found.append(_tested(expectation, rows))
    return found


def _comparable(table: Table, names: tuple[str, ...]) -> Table:
    """The named rows on the training seeds that all have; empty where one lacks."""
    if not table.keys() >= set(names):
        return {}
    return dict(zip(names, on_common_seeds([table[name] for name in names]), strict=False))


def expectations(ablations: tuple[str, ...]) -> list[Expectation]:
    """The paper's directions; `ablations` are those to compare the strongest pollution with."""
    others = tuple(name for name in ablations if name != NO_FINE_GRAINED)
    return [
        _higher("without SFCM, more is preserved", "spi", FULL, NO_SFCM),
        _below_half("without SFCM, the effect falls far (to less than half)", "effect", NO_SFCM, FULL),
        _higher("without fine-grained alignment, the layout is polluted", "layout", NO_FINE_GRAINED, FULL),
        _higher(
            "without fine-grained alignment, the identity is polluted", "identity", NO_FINE_GRAINED, FULL
        ),
        *(_highest(part, NO_FINE_GRAINED, others) for part in ("layout", "identity") if others),
        _higher(
            "without text consistency, the structure is polluted", "structure", NO_TEXT_CONSISTENCY, FULL
        ),
        _higher("without text consistency, the layout is polluted", "layout", NO_TEXT_CONSISTENCY, FULL),
        _higher("without enhancement, the effect falls", "effect", FULL, NO_ENHANCEMENT),
        _same(f"without enhancement, SPI stays (within {SAME})", "spi", NO_ENHANCEMENT, FULL),
        *(_higher(f"spf is purer than {name}", "sps", FULL, name) for name in BASELINES),
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
