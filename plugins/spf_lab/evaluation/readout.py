"""The measures of a results.json in words, for the terminal and for pages. Torch-free."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Results = Mapping[str, Any]
MEASURES = {
    "sps": "Semantic Purity Score, 0 to 100, higher is better",
    "sps_original": "SPS of the base model under the same prompts",
    "effect": "how much of the target appears, 0 to 1",
    "hit_rate": "hit rate: images that show the target when the prompt asks for it",
    "hit_rate_original": "the same for the base model",
    "base_leak": "leak rate: images that show the target when the prompt does not ask for it",
    "spi": "Semantic Pollution Index, 0 to 1, lower is better",
    "spi_original": "the same for the base model",
    "delta_spi": "SPI less that of the base model: pollution that training adds",
    "rec": "reconstruction under the base text alone, 0 to 100",
}
OF_SET = frozenset({"sps", "sps_original", "spi", "spi_original", "delta_spi", "rec", "δspi"})
STRATA = {
    "explicit": "prompts that name every attribute",
    "silent": "prompts that leave attributes open",
}
STRATUM = ("sps", "effect", "spi", "hit_rate")  # what is shown of each
ARROWS = {"higher": "↑", "lower": "↓"}
GROUPS = {
    "parts": "part of SPI",
    "bias_rise": "percentage points by which this unmentioned bias rose",
}


def score_name(results: Results, name: str) -> str:
    """What a score of these results is called: `spi`, or with the mark of a set that is not a whole one.

    As in `spi[appearance,attributes]`, where judges are missing: such scores mean something else, and only
    those of one name can be compared. Only what depends on the set has a mark; `name` may be in any case.
    """
    mark = (results.get("purity") or {}).get("mark", "")
    return f"{name}[{mark}]" if mark and name.lower() in OF_SET else name


def interval(value: Mapping[str, Any] | None) -> str:
    """`12.3 [10.1, 14.5]`, or a dash for what does not apply."""
    if value is None or value.get("value") is None:
        return "-"
    low, high = value["ci"]
    return f"{number(value['value'])} [{number(low)}, {number(high)}]"


def number(value: float | None) -> str:
    """One digit from 10 on, two below, more where these would be zeros; a dash for what does not apply."""
    if value is None:
        return "-"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.01 or abs(value) < 5e-4 else f"{value:.1g}"


def result_rows(results: Mapping[str, Results]) -> list[tuple[str, ...]]:
    """A row for each measure, part and bias: its name, one value for each run, its meaning."""
    runs = results.values()
    rows = []
    for key, meaning in MEASURES.items():
        for name, found in _by_name(runs, key):
            rows.append((name, *(interval(run.get(key) if run else None) for run in found), meaning))
    for group, meaning in GROUPS.items():
        for name in dict.fromkeys(name for run in runs for name in run.get(group, {})):
            rows.append((f"  {name}", *(interval(run.get(group, {}).get(name)) for run in runs), meaning))
    rows += _stratum_rows(runs)
    return [*rows, *_score_rows([run.get("scores", {}) for run in runs])]


def _by_name(runs: Collection[Results], key: str) -> list[tuple[str, list[Results | None]]]:
    """A score's names, each with the runs whose score is called that and None for the others."""
    names = dict.fromkeys(score_name(run, key) for run in runs)
    return [(name, [run if score_name(run, key) == name else None for run in runs]) for name in names]


def _stratum_rows(runs: Collection[Results]) -> list[tuple[str, ...]]:
    """The explicit and the silent prompts apart, and what a perfect edit would have."""
    rows = []
    for name in dict.fromkeys(name for run in runs for name in run.get("strata", {})):
        for key, (called, chosen) in [(score, each) for score in STRATUM for each in _by_name(runs, score)]:
            found = [run.get("strata", {}).get(name, {}).get(key) if run else None for run in chosen]
            limits = [run.get("ceiling", {}).get(name, {}).get(key) for run in chosen if run]
            best = next((number(limit) for limit in limits if limit is not None), None)
            meaning = STRATA[name] + (f"; ceiling {best}" if best else "")
            rows.append((f"  {called}, {name}", *(interval(each) for each in found), meaning))
    return rows


def _score_rows(scores: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row for each score: values of the tuned model, what it is, and what the original reaches."""
    rows = []
    for name in dict.fromkeys(name for run in scores for name in run):
        found = [run.get(name) for run in scores]
        meaning = next((_meaning(each) for each in found if each and "meaning" in each), "score")
        rows.append((f"  {name}", *(_score(each) for each in found), meaning))
    return rows


def _score(value: Mapping[str, Any] | None) -> str:
    reason = (value or {}).get("not_available")
    return interval(value) if reason is None else f"not available: {reason}"


def _meaning(score: Mapping[str, Any]) -> str:
    before = score["original"]["value"]
    parts = [f"{score['meaning']} {ARROWS[score['better']]}"]
    parts += [f"base model {number(before)}"] if before is not None else []
    failed = len(score["failed"])
    parts += [f"failed on {failed} of {failed + score['pairs']} pairs"] if failed else []
    return "; ".join([*parts, *([score["note"]] if score["note"] else [])])
