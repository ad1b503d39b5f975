"""Colours and numbers of presets: the same in every figure of a benchmark. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Okabe and Ito 2008, then darker hues of Tol's "muted" scheme; families beyond these share grey.
PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#882255", "#999933", "#332288", "#44aa99", "#aa4499", "#661100", "#117733",
)  # fmt: skip
OTHERS = "#888888"


@dataclass(frozen=True)
class Style:
    """How a preset is drawn: the colour of its family, and its place in the benchmark's file, from 1."""

    colour: str
    number: int
    family: str


def styles(entries: Sequence[Mapping[str, Any]], reference: str) -> dict[str, Style]:
    """Preset's name -> style, from the `presets` of a benchmark's file; the reference's family is first."""
    families = {entry["name"]: family_of(entry, entries) for entry in entries}
    ordered = list(dict.fromkeys([families[reference], *families.values()]))
    colours = {family: PALETTE[n] if n < len(PALETTE) else OTHERS for n, family in enumerate(ordered)}
    return {
        name: Style(colours[family], number, family)
        for number, (name, family) in enumerate(families.items(), start=1)
    }


def family_of(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """The entry's `family`, or else the shortest preset of the file that its own is a variant of.

    A variant of `spf` is called `spf-` and something.
    """
    if entry.get("family"):
        return str(entry["family"])
    preset = str(entry["preset"])
    stems = [str(each["preset"]) for each in entries if preset.startswith(f"{each['preset']}-")]
    return min([preset, *stems], key=len)


def styles_of(results: Mapping[str, Any]) -> dict[str, Style]:
    """Styles of the presets in a benchmark's results.json."""
    return styles(results["benchmark"]["presets"], results["reference"])


def related(results: Mapping[str, Any], rows: Mapping[str, Any]) -> list[str]:
    """The reference, then the other presets of its family in `rows`; empty when there are none."""
    looks, reference = styles_of(results), results["reference"]
    family = [name for name in rows if looks[name].family == looks[reference].family]
    others = [name for name in family if name != reference]
    return [reference, *others] if others and reference in rows else []
