"""A preset's row of the leakage heat map, and its strength frontier, over its training seeds. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]


def leakage_row(several: Sequence[Json]) -> dict[str, dict[str, Any]]:
    """Attribute -> its value that shifts most, by |L| averaged over training seeds; from their results.json.

    L is the mean shift from A to C over the standard deviation of the shift from A to A'. `q` is the smallest
    of any value of the attribute, each being the largest over the training seeds.
    """
    first = several[0]
    allowed = first.get("allowed_attributes", ())
    return {
        name: {**_strongest(name, values, several), "allowed": name in allowed}
        for name, values in first.get("leakage", {}).items()
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


def _strongest(name: str, values: Json, several: Sequence[Json]) -> dict[str, Any]:
    found = {value: mean_estimate([each["leakage"][name][value] for each in several]) for value in values}
    most = max(found, key=lambda value: abs(found[value]["value"] or 0.0))
    q = min(max(each["leakage"][name][value]["q"] for each in several) for value in values)
    return {"of": most, **found[most], "q": q}
