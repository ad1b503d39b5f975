"""Tables of a benchmark as heads and rows, **bold** and `code` marked as in Markdown. Torch-free."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spf_core.errors import RunError
from spf_lab.benchmark.texts import NOT_RECOGNISED, ORIGINAL
from spf_lab.evaluation.readout import STRATUM

Json = Mapping[str, Any]
PARTS = ("appearance", "structure", "layout", "identity", "attributes")
HIGHER, LOWER = "↑", "↓"
ALL = "all"  # prompts, beside the strata
HOLDS = "holds"  # verdict of a sign test
HEADLINE = {
    "sps": ("SPS", HIGHER),
    "effect": ("E", HIGHER),
    "spi": ("SPI", LOWER),
    "delta_spi": ("ΔSPI", LOWER),
    "rec": ("REC", HIGHER),
    "hit_rate": ("hit", HIGHER),
    "base_leak": ("base leak", LOWER),
}
_OVERVIEW = {key: HEADLINE[key][1] for key in ("sps", "effect", "spi", "rec", "hit_rate", "base_leak")}
_COST_HEAD = ["device", "s/step", "s/run", "peak MiB", "parameters"]
PERCENT = ("sps", "rec")
_INTERVAL = re.compile(r"\[[^\s\]]+, [^\s\]]+\]")
Cells = tuple[list[str], list[list[str]]]


def markdown(cells: Cells) -> str:
    """A Markdown table; no line breaks within an interval."""
    head, rows = cells
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return _INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


def score_table(rows: Mapping[str, Json]) -> Cells:
    """Presets down; headline scores with intervals, parts of pollution, handover and costs across."""
    columns = [(title, _cells(rows, key, mark)) for key, (title, mark) in HEADLINE.items()]
    parts = dict.fromkeys(part for row in rows.values() for part in row.get("parts", {}))
    for part in (*(part for part in PARTS if part in parts), *(part for part in parts if part not in PARTS)):
        columns.append((part, _cells(rows, part, LOWER)))
    head = [f"{title} {mark}" for title, mark in HEADLINE.values()]
    head += [f"{title} {LOWER}" for title, _ in columns[len(HEADLINE) :]]
    trained = all("steps" in row for row in rows.values())
    costs = [[_handovers(row), *_costs(row)] for row in rows.values()] if trained else []
    head += ["handover", *_COST_HEAD] if costs else []
    body = [
        [name, *(cells[number] for _, cells in columns), *(costs[number] if costs else ())]
        for number, name in enumerate(rows)
    ]
    return ["preset", *head], body


def overview_table(rows: Mapping[str, Json], best: Mapping[str, Json]) -> Cells:
    """Means over targets with costs; below them the best of each family, which takes no part in bold."""
    columns = [_cells(rows, key, mark) for key, mark in _OVERVIEW.items()]
    body = [[name, *(cells[number] for cells in columns)] for number, name in enumerate(rows)]
    for family, row in best.items():
        scores = [interval(row[key], percent=key in PERCENT) for key in _OVERVIEW]
        body.append([f"{best_name(family, row)} †", *scores])
    head = ["preset", *(f"{HEADLINE[key][0]} {mark}" for key, mark in _OVERVIEW.items())]
    shown = [*rows.values(), *best.values()]
    if not all("seconds_per_step" in row for row in shown):
        return head, body
    return [*head, *_COST_HEAD], [[*line, *_costs(row)] for line, row in zip(body, shown, strict=True)]


def strata_table(rows: Mapping[str, Json], ceiling: Json) -> Cells:
    """Presets down, the scores of explicit and of silent prompts across; below, what a perfect edit has."""
    names = dict.fromkeys(name for row in rows.values() for name in row.get("strata", {}))
    head, lines = ["preset"], {name: [name] for name in rows}
    limits = ["*perfect edit*"]
    for name in names:
        shown = {preset: row["strata"][name] for preset, row in rows.items() if name in row.get("strata", {})}
        for key in STRATUM:
            title, mark = HEADLINE[key]
            head.append(f"{name}: {title} {mark}")
            cells = dict(zip(shown, _cells(shown, key, mark), strict=True))
            for preset, line in lines.items():
                line.append(cells.get(preset, "-"))
            limit = ceiling.get(name, {}).get(key)
            limits.append("-" if limit is None else f"*{limit:.{1 if key in PERCENT else 2}f}*")
    return head, [*lines.values(), *([limits] if ceiling else [])]


def best_name(family: str, row: Json) -> str:
    """`lora, best: lora-16`, or `lora, best of each target` where they differ."""
    chosen = list(dict.fromkeys(row["chosen"].values()))
    return f"{family}, best: {chosen[0]}" if len(chosen) == 1 else f"{family}, best of each target"


def test_table(tests: Sequence[Json]) -> Cells:
    """The reference less each other preset, with p values."""
    rows = [
        [
            test["against"],
            HEADLINE[test["measure"]][0],
            interval(test["difference"], percent=test["measure"] in PERCENT),
            p_value(test["p"]),
            p_value(test["p_holm"]),
        ]
        for test in tests
    ]
    return ["against", "measure", "difference", "p", "p (Holm)"], rows


def sign_table(tests: Sequence[Json], targets: Sequence[str]) -> Cells:
    """Expected directions down, targets across; a dash where a target lacks a preset that takes part."""
    several = len(targets) > 1
    rows = []
    for test in tests:
        percent = test["formula"].startswith(PERCENT)
        found = [
            *(test["targets"].get(target) for target in targets),
            *([test.get("mean")] if several else []),
        ]
        cells = (f"{each['verdict']}: {interval(each, percent=percent)}" if each else "-" for each in found)
        rows.append([test["claim"], f"`{test['formula']}`", *cells])
    return ["the paper's direction", "tested", *targets, *(["mean"] if several else [])], rows


def grouped(tests: Sequence[Json]) -> dict[tuple[str, str], list[Json]]:
    """Sign tests by the preset whose ablations they compare, and by the prompts."""
    found: dict[tuple[str, str], list[Json]] = {}
    for test in tests:
        found.setdefault((test["of"], test["prompts"]), []).append(test)
    return found


def mean_ceiling(results: Json) -> dict[str, dict[str, float | None]]:
    """The mean over targets of what a perfect edit has; nothing where a target has no ceiling."""
    several = [found.get("ceiling") for found in results["targets"].values()]
    if not all(several):
        return {}
    return {
        name: {
            key: None
            if any(each[name][key] is None for each in several)
            else sum(each[name][key] for each in several) / len(several)
            for key in STRATUM
        }
        for name in several[0]
    }


def interval(value: Json, *, percent: bool = False) -> str:
    """`12.3 [10.1, 14.5]` or `0.12 [0.10, 0.14]`; a dash for what does not apply."""
    if value["value"] is None:
        return "-"
    low, high = value["ci"]
    digits = 1 if percent else 2
    return f"{value['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def by_purity(rows: Mapping[str, Json]) -> list[str]:
    """Presets by falling SPS."""
    return sorted(rows, key=lambda name: -(rows[name]["sps"]["value"] or 0.0))


def p_value(p: float | None) -> str:
    """Three digits; a dash for what does not apply."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def winner(values: Sequence[Json], mark: str) -> int | None:
    """Place of the best value, when its interval excludes the next best."""
    sign = 1 if mark == HIGHER else -1
    ranked = sorted(
        (place for place, value in enumerate(values) if value["value"] is not None),
        key=lambda place: -sign * values[place]["value"],
    )
    if len(ranked) < 2:
        return None
    low, high = values[ranked[0]]["ci"]
    second = values[ranked[1]]["value"]
    return ranked[0] if (second < low if sign > 0 else second > high) else None


def _cells(rows: Mapping[str, Json], key: str, mark: str) -> list[str]:
    """One column: scores with their intervals, parts without, to keep the table narrow."""
    absent: Json = {"value": None, "ci": [None, None]}
    values = [row[key] if key in HEADLINE else row["parts"].get(key, absent) for row in rows.values()]
    shown = [interval(value, percent=key in PERCENT) for value in values]
    if key not in HEADLINE:
        shown = [text.partition(" [")[0] for text in shown]
    best = winner(values, mark)
    return [f"**{text}**" if place == best else text for place, text in enumerate(shown)]


def shown_by_original(rows: Mapping[str, Json]) -> str:
    """A sentence: how often the original shows the target, and what its SPS is when it is asked.

    Taken beside the preset with the highest handover: above it the original reads the base text alone.
    RunError where the results are of a version that did not measure it.
    """
    name, row = max(rows.items(), key=lambda item: min(item[1]["handover"]))
    if "sps_original" not in row:
        raise RunError(
            f"the results of '{name}' lack sps_original: another version of spf wrote them; evaluate it "
            "again, or rebuild the tables with spf benchmark FILE.yaml --out DIR --report-only"
        )
    asked, unasked, sps = (
        row[score]["value"] for score in ("hit_rate_original", "base_leak_original", "sps_original")
    )
    if asked is None or unasked is None or sps is None:
        return NOT_RECOGNISED
    return ORIGINAL.format(asked=asked, unasked=unasked, sps=sps)


def _handovers(row: Json) -> str:
    """`0.35`, or `0.3 to 0.4` where training seeds differ."""
    return " to ".join(f"{value:g}" for value in dict.fromkeys((min(row["handover"]), max(row["handover"]))))


def _costs(row: Json) -> list[str]:
    return [
        row["device"],
        "-" if row["seconds_per_step"] is None else f"{row['seconds_per_step']:.3f}",
        f"{row['seconds_per_run']:,.0f}",
        f"{row['peak_memory_mib']:,.0f}",
        f"{row['trainable_parameters']:,}",
    ]
