"""Grids of pictures from the cells' sheets: the first prompts, and the reference's worst pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from spf_core.errors import RunError
from spf_core.sampling.sampler import comparison_grid
from spf_core.utils.atomic import atomic_file
from spf_lab.benchmark.analysis import Table
from spf_lab.benchmark.collect import Finished
from spf_lab.benchmark.contact_sheet import ContactSheet
from spf_lab.evaluation.pictures import WORST, first_pairs, worst_pairs

PUREST = 5  # presets of other families
_TILE = 128  # pixels
_QUALITY = 85
_EMPTY = "#e4e4e4"


@dataclass(frozen=True)
class Strip:
    """A row of a grid: pictures of one role from one cell, pair by pair."""

    found: Finished
    role: str
    pairs: Sequence[int]


@dataclass(frozen=True)
class Grid:
    """Strips by label, a caption for each column, and what results.json says of the grid."""

    strips: Mapping[str, Strip]
    captions: Sequence[str]
    facts: Mapping[str, Any]

    def tiles(self) -> Iterator[tuple[str, str, int]]:
        """The cell, the role and the pair of every picture."""
        for strip in self.strips.values():
            for pair in strip.pairs:
                yield strip.found.cell.name, strip.role, pair


def first_grid(table: Table, reference: str, families: Mapping[str, str]) -> Grid | None:
    """The evaluation's first prompts: the original on the base text, then presets on the complete text.

    These are the reference and the purest presets of other families. The pictures are those that were judged;
    each preset shows its first training seed. None where none of them keeps pictures.
    """
    chosen = [*([reference] if reference in table else []), *_purest_others(table, reference, families)]
    chosen = chosen[: PUREST + 1]
    shown = {name: found for name in chosen if (found := table[name].shown)}
    if not shown:
        return None
    first = next(iter(shown.values()))
    pairs = first_pairs(first.results["n_prompts"], first.results["n_seeds"])
    drew = next((each for each in shown.values() if _keeps(each, "original", pairs)), first)
    strips = {"original": _whole(drew, "original", pairs)}
    strips |= {name: _whole(each, "tuned", pairs) for name, each in shown.items()}
    facts = _facts(first, pairs, shown) | {"without": [name for name in chosen if name not in shown]}
    return Grid(strips, [first.rows[i]["base_text"] for i in pairs], facts)


def worst_grid(table: Table, reference: str, families: Mapping[str, str]) -> Grid | None:
    """The reference's worst pairs by SPI: the original without and with the target, the reference, another.

    The other one has the highest SPS of other families than the reference's, or of its own where there are
    none, among those that keep at least half of these images; the missing ones are grey. None where the
    reference keeps no images.
    """
    found = table[reference].shown if reference in table else None
    pairs = _worst(found) if found else []
    if found is None or not pairs:
        return None
    strips = {
        "original": Strip(found, "original", pairs),
        "original, complete text": Strip(found, "prompted", pairs),
        reference: Strip(found, "tuned", pairs),
    }
    shown = {reference: found}
    for name in _purest_others(table, reference, families):
        other = table[name].shown
        if other and 2 * sum(_keeps(other, "tuned", [pair]) for pair in pairs) >= len(pairs):
            shown[name], strips[name] = other, Strip(other, "tuned", pairs)
            break
    captions = [f"SPI {found.rows[i]['spi'] or 0.0:.2f}: {found.rows[i]['base_text']}" for i in pairs]
    return Grid(strips, captions, _facts(found, pairs, shown))


def write_grid(path: Path, grid: Grid | None, sheets: Mapping[str, ContactSheet]) -> None:
    """Draw a grid of the tiles in the sheets, by their cells' names; without a grid there is no file."""
    if grid is None:
        path.unlink(missing_ok=True)
        return
    kept = {
        label: [sheets[strip.found.cell.name].pictures(pair).roles.get(strip.role) for pair in strip.pairs]
        for label, strip in grid.strips.items()
    }
    size = next(picture for pictures in kept.values() for picture in pictures if picture).size
    rows = {
        label: [picture or Image.new("RGB", size, _EMPTY) for picture in pictures]
        for label, pictures in kept.items()
    }
    with atomic_file(path) as temporary:
        drawn = comparison_grid(rows, grid.captions, max(1, _TILE // size[0]))
        drawn.save(temporary, format="WEBP", quality=_QUALITY, method=6)


def _worst(found: Finished) -> list[int]:
    """The worst pairs whose pictures are kept: fewer where another preset was the reference before."""
    worst = worst_pairs([row["spi"] for row in found.rows], WORST)
    return [
        pair
        for pair in worst
        if all(_keeps(found, role, [pair]) for role in ("original", "prompted", "tuned"))
    ]


def _purest_others(table: Table, reference: str, families: Mapping[str, str]) -> list[str]:
    """Presets of other families than the reference's, else of its own; the purest first."""
    foreign = [name for name in table if families[name] != families[reference]]
    others = foreign or [name for name in table if name != reference]
    purity = {name: table[name].scores.estimates.headline["sps"].value or 0.0 for name in others}
    return sorted(others, key=lambda name: -purity[name])


def _keeps(found: Finished, role: str, pairs: Sequence[int]) -> bool:
    return found.sheet is not None and all(role in found.sheet.pictures(pair).roles for pair in pairs)


def _whole(found: Finished, role: str, pairs: Sequence[int]) -> Strip:
    if not _keeps(found, role, pairs):
        raise RunError(
            f"the record of cell '{found.cell.name}' lacks pictures; "
            f"delete the cell's folder and run the benchmark again"
        )
    return Strip(found, role, pairs)


def _facts(first: Finished, pairs: Sequence[int], shown: Mapping[str, Finished]) -> dict[str, Any]:
    return {
        "prompts": [first.rows[i]["complete_text"] for i in pairs],
        "noise_seeds": [first.rows[i]["noise"] for i in pairs],
        "training_seeds": {name: each.cell.seed for name, each in shown.items()},
    }
