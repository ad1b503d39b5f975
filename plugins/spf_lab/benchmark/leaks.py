"""A preset's row of the leakage heat map, and its strength frontier, over its training seeds. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def leakage_row(several: Sequence[Json]) -> dict[str, dict[str, Any]]:
    """Attribute -> how far the mix of its values shifts from A to C, from the results.json of training seeds.

    `value` is the mean |shift| of its values over the mean standard deviation of their shifts from A to A',
    averaged over training seeds: no single rare value decides it. `of` is the value that shifts most and
    `shift` by how many points; `q` the smallest of any value, each being the largest over training seeds.
    """
    first = several[0]
    allowed = first.get("allowed_attributes", ())
    return {
        name: {**_attribute([each["leakage"][name] for each in several]), "allowed": name in allowed}
        for name in first.get("leakage", {})
    }


def frontier_row(several: Sequence[Json]) -> list[dict[str, Any]]:
    """Points of the frontier by rising strength, values and interval ends averaged over training seeds."""
    curves = [each["frontier"]["points"] for each in several if "frontier" in each]
    if len(curves) < len(several):
        return []
    return [
        {
            "strength": points[0]["strength"],
            **{name: mean_estimate([point[name] for point in points]) for name in ("effect", "spi", "sps")},
        }
        for points in zip(*curves, strict=True)
    ]


def mean_estimate(several: Sequence[Json]) -> dict[str, Any]:
    """The mean of values and of interval ends; None where one does not apply."""
    ends = zip(*([each["value"], *each["ci"]] for each in several), strict=True)
    value, low, high = (None if None in each else sum(each) / len(each) for each in ends)
    return {"value": value, "ci": [low, high]}


def _attribute(several: Sequence[Json]) -> dict[str, Any]:
    values = list(several[0])
    shifts = {v: sum(each[v]["shift"]["value"] or 0.0 for each in several) / len(several) for v in values}
    most = max(values, key=lambda v: abs(shifts[v]))
    return {
        "value": sum(_strength(each) for each in several) / len(several),
        "of": most,
        "shift": shifts[most],
        "q": min(max(each[v]["q"] for each in several) for v in values),
    }


def _strength(values: Json) -> float:
    """Mean |shift| over mean spread; a value's spread is its shift over its leakage L."""
    moved = [
        (abs(leak["shift"]["value"]) / 100, abs(leak["value"])) for leak in values.values() if leak["value"]
    ]
    spread = sum(shift / strength for shift, strength in moved)
    return sum(shift for shift, _ in moved) / spread if spread else 0.0
