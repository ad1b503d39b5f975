"""The measures of a results.json in words, for the terminal and for pages. Torch-free."""

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]
MEASURES = {
    "sps": "purity score, 0 to 100, higher is better",
    "effect": "how much of the target appears",
    "hit_rate": "share of pictures that show the target",
    "hit_rate_original": "the same before training",
    "base_leak": "share that shows the target unasked",
    "spi": "pollution, lower is better",
    "spi_original": "the same before training",
    "delta_spi": "pollution added by training",
    "rec": "likeness under the base text alone, 0 to 100",
}
GROUPS = {
    "parts": "part of spi",
    "bias_rise": "percentage points that this unmentioned bias rose",
}


def interval(value: Mapping[str, Any] | None) -> str:
    """`12.3 [10.1, 14.5]`, or a dash for what does not apply."""
    if value is None or value.get("value") is None:
        return "-"
    low, high = value["ci"]
    return f"{number(value['value'])} [{number(low)}, {number(high)}]"


def number(value: float | None) -> str:
    """One digit from 10 on, two below; a dash for what does not apply."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def result_rows(results: Mapping[str, Results]) -> list[tuple[str, ...]]:
    """A row for each measure, part and bias: its name, one value for each run, its meaning."""
    runs = results.values()
    rows = [(name, *(interval(run.get(name)) for run in runs), meaning) for name, meaning in MEASURES.items()]
    for group, meaning in GROUPS.items():
        for name in dict.fromkeys(name for run in runs for name in run.get(group, {})):
            rows.append((f"  {name}", *(interval(run.get(group, {}).get(name)) for run in runs), meaning))
    return rows
