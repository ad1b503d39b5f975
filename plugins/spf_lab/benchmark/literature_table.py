"""The table of the literature's scores, and what to say below it. Torch-free."""

from collections.abc import Mapping
from typing import Any

from spf_lab.benchmark.tables import Cells, winner
from spf_lab.evaluation.readout import ARROWS, interval

Json = Mapping[str, Any]
ABSENT = "not available"


def literature_table(rows: Mapping[str, Json]) -> Cells:
    """Presets down, scores across; the best in bold where its interval excludes the runner-up."""
    names = _names(rows)
    columns = [_column(name, rows) for name in names]
    head = [f"{name} {_arrow(name, rows)}".rstrip() for name in names]
    body = [[preset, *(column[place] for column in columns)] for place, preset in enumerate(rows)]
    return ["preset", *head], body


def literature_notes(rows: Mapping[str, Json]) -> list[str]:
    """What each score is, why one is not available and of whom, and which pairs it failed on."""
    notes = []
    for name in _names(rows):
        found = {preset: row["scores"][name] for preset, row in rows.items() if name in row["scores"]}
        sound = [each for each in found.values() if "not_available" not in each]
        if sound:
            before = interval(sound[0]["original"])
            parts = [sound[0]["meaning"], f"base model, complete text: {before}", sound[0]["note"]]
            parts += [_failures(preset, each) for preset, each in found.items()]
            notes.append(f"`{name}`: {'; '.join(part for part in parts if part)}.")
        notes += _reasons(name, found)
    return notes


def _reasons(name: str, found: Mapping[str, Json]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for preset, each in found.items():
        if reason := each.get("not_available"):
            reasons.setdefault(reason, []).append(preset)
    return [
        f"`{name}`: {ABSENT}{'' if len(presets) == len(found) else f' for {_listed(presets)}'}: {reason}."
        for reason, presets in reasons.items()
    ]


def _failures(preset: str, column: Json) -> str:
    failed = column.get("failed") or {}
    if not failed:
        return ""
    where, why = next(iter(failed.items()))
    return f"{preset} failed on {len(failed)} of {len(failed) + column['pairs']} pairs (pair {where}: {why})"


def _column(name: str, rows: Mapping[str, Json]) -> list[str]:
    absent: Json = {"value": None, "ci": [None, None]}
    values = [row["scores"].get(name, absent) for row in rows.values()]
    shown = [ABSENT if "not_available" in value else interval(value) for value in values]
    best = winner([value if _known(value) else absent for value in values], _arrow(name, rows))
    return [f"**{text}**" if place == best else text for place, text in enumerate(shown)]


def _known(value: Json) -> bool:
    return value["value"] is not None and None not in value["ci"]


def _arrow(name: str, rows: Mapping[str, Json]) -> str:
    found = (row["scores"].get(name, {}).get("better") for row in rows.values())
    return ARROWS.get(next((each for each in found if each), ""), "")


def _names(rows: Mapping[str, Json]) -> list[str]:
    return list(dict.fromkeys(name for row in rows.values() for name in row.get("scores", {})))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
