"""Summaries of a preset over its orders, with joint intervals, and how presets compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spf_lab.continual.collect import Trace
from spf_lab.continual.summaries import (
    average_effect,
    backward_transfer,
    forgetting,
    order_spread,
    over_learned,
    slope,
)
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Bootstrap, estimate

GROWS, DOES_NOT = "grows", "does not significantly grow"
GROWTH = ("rec_growth", "spi_growth")
_SUMMARIES: dict[str, Callable[[Trace], Floats]] = {
    "average_effect": lambda trace: average_effect(trace.matrices["effect"]),
    "forgetting": lambda trace: forgetting(trace.matrices["effect"]),
    "backward_transfer": lambda trace: backward_transfer(trace.matrices["effect"]),
    "rec_growth": lambda trace: slope(1 - trace.rec_KR / 100),
    "spi_growth": lambda trace: slope(trace.matrices["spi"][:, 0]),
    "final_spi": lambda trace: over_learned(trace.matrices["spi"])[-1],
    "final_hit": lambda trace: over_learned(trace.matrices["hit"])[-1],
    "final_rec": lambda trace: trace.rec_KR[-1],
    "final_base_leak": lambda trace: over_learned(trace.matrices["base_leak"])[-1],
}
_CURVES: dict[str, Callable[[Trace], Floats]] = {
    "rec": lambda trace: trace.rec_KR,
    "spi_first": lambda trace: trace.matrices["spi"][:, 0],
    "base_leak": lambda trace: over_learned(trace.matrices["base_leak"]),
}


@dataclass(frozen=True)
class Preset:
    """A preset's finished sequences, one per order. Prompts are resampled jointly over stages and orders."""

    name: str
    traces: tuple[Trace, ...]

    @property
    def orders(self) -> tuple[str, ...]:
        """Names of the orders that are finished."""
        return tuple(trace.sequence.order_name for trace in self.traces)

    def summary(self, measure: str, orders: Sequence[str] | None = None) -> Floats:
        """O x R values of a summary, for these orders or all."""
        wanted = self.orders if orders is None else orders
        chosen = [trace for trace in self.traces if trace.sequence.order_name in wanted]
        return np.stack([_SUMMARIES[measure](trace) for trace in chosen])

    def to_json(self) -> dict[str, Any]:
        """Everything with 95 % intervals; matrices by place, as means over orders, and for each order."""
        entry, costs = self.traces[0].sequence.entry, [cost for trace in self.traces for cost in trace.costs]
        curves = {name: _mean([curve(trace) for trace in self.traces]) for name, curve in _CURVES.items()}
        names = self.traces[0].matrices
        return {
            "preset": entry.preset,
            "set": list(entry.assignments),
            "summary": {name: self._estimate(name) for name in _SUMMARIES},
            "strata": {
                name: {
                    key: estimate(_mean([trace.strata[name][key] for trace in self.traces])).to_json()
                    for key in scores
                }
                for name, scores in self.traces[0].strata.items()
            },
            "joint_hit_rate": joint_rate(self.traces),
            "stages": {name: _estimates(curve) for name, curve in curves.items()},
            "matrices": {
                name: _estimates(_mean([trace.matrices[name] for trace in self.traces])) for name in names
            },
            "orders": {trace.sequence.order_name: _order(trace) for trace in self.traces},
            "steps_per_stage": costs[0].steps,
            "seconds_per_stage": sum(cost.seconds for cost in costs) / len(costs),
            "peak_memory_mib": max(cost.peak_memory_mib for cost in costs),
        }

    def _estimate(self, measure: str) -> dict[str, Any]:
        values_OR = self.summary(measure)
        found = estimate(values_OR.mean(axis=0))
        result = {**found.to_json(), "order_sd": estimate(order_spread(values_OR)).to_json()}
        return {**result, "verdict": verdict(found.ci[0])} if measure in GROWTH else result


def verdict(low: float | None) -> str:
    """What the lower end of a slope's interval says."""
    return "not applicable" if low is None else GROWS if low > 0 else DOES_NOT


def make_presets(found: Sequence[Trace]) -> dict[str, Preset]:
    """Presets by name."""
    traces: dict[str, list[Trace]] = {}
    for each in found:
        traces.setdefault(each.sequence.entry.name, []).append(each)
    return {name: Preset(name, tuple(several)) for name, several in traces.items()}


def compare(presets: Mapping[str, Preset], reference: str) -> list[dict[str, Any]]:
    """The reference less each other preset in every summary, on the same prompts and the orders both have."""
    if reference not in presets:
        return []
    return [
        _difference(presets[reference], other, measure)
        for name, other in presets.items()
        if name != reference and set(other.orders) & set(presets[reference].orders)
        for measure in _SUMMARIES
    ]


def _difference(reference: Preset, other: Preset, measure: str) -> dict[str, Any]:
    common = [order for order in reference.orders if order in other.orders]
    one, two = (preset.summary(measure, common).mean(axis=0) for preset in (reference, other))
    return {
        "reference": reference.name,
        "against": other.name,
        "measure": measure,
        "orders": common,
        "difference": estimate(one - two).to_json(),
    }


def joint_rate(traces: Sequence[Trace]) -> dict[str, Any]:
    """How often prompts for two targets show both, over orders and pairs; or why that cannot be told."""
    reasons = [trace.joint["not_applicable"] for trace in traces if trace.joint["not_applicable"]]
    if reasons:
        return {"not_applicable": reasons[0]}
    pairs = [pair for trace in traces for pair in trace.joint["pairs"]]
    draws = Bootstrap(traces[0].results["n_prompts"])
    rates = {
        role: _mean([draws.mean(np.array(pair[role], np.float64)) for pair in pairs])
        for role in ("tuned", "original")
    }
    return {
        **estimate(rates["tuned"]).to_json(),
        "original": estimate(rates["original"]).to_json(),
        "pairs": sorted({" + ".join(sorted(pair["targets"])) for pair in pairs}),
    }


def _order(trace: Trace) -> dict[str, Any]:
    return {
        "order": list(trace.sequence.order),
        **{name: _estimates(values) for name, values in trace.matrices.items()},
        "rec": _estimates(trace.rec_KR),
        "summary": {name: estimate(value(trace)).to_json() for name, value in _SUMMARIES.items()},
    }


def _mean(several: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean(np.stack(several), axis=0))


def _estimates(values: Floats) -> Any:
    """Nested lists of estimates over all axes but the last, which holds replicates."""
    if values.ndim == 1:
        return estimate(values).to_json()
    return [_estimates(each) for each in values]
