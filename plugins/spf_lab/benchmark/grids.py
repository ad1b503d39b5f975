"""Grids of pictures from the cells' sheets: first prompts under every preset, the reference's worst pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from spf_core.errors import RunError
from spf_core.sampling.sampler import comparison_grid
from spf_core.utils.atomic import atomic_file
from spf_lab.benchmark.analysis import Table
from spf_lab.benchmark.collect import Finished
from spf_lab.evaluation.pictures import WORST, first_pairs, worst_pairs

PUREST = 5  # presets of other families
_TILE = 128  # pixels
_QUALITY = 85
_EMPTY = "#e4e4e4"


def write_first_grid(path: Path, table: Table) -> dict[str, Any] | None:
    """The evaluation's first prompts: the original on the base text, then every preset on the complete text.

    The pictures are those that were judged; each preset shows its first training seed. Presets that keep no
    pictures are left out. Returns what is shown; None, and no file, where no preset keeps pictures.
    """
    shown = {name: row.shown for name, row in table.items() if row.shown}
    if not shown:
        path.unlink(missing_ok=True)
        return None
    first = next(iter(shown.values()))
    pairs = first_pairs(first.results["n_prompts"], first.results["n_seeds"])
    rows = {"original": _whole(first, "original", pairs)}
    rows |= {name: _whole(each, "tuned", pairs) for name, each in shown.items()}
    _save(path, comparison_grid(rows, [first.rows[i]["base_text"] for i in pairs], _scale(rows)))
    return _facts(first, pairs, shown)


def write_purest_grid(
    path: Path, table: Table, reference: str, families: Mapping[str, str]
) -> dict[str, Any] | None:
    """The first prompts as above, of the reference and of the purest presets of other families alone.

    None, and no file, where these are all there are, or the reference is not run.
    """
    shown: Table = {}
    if reference in table:
        others = _purest_others(table, reference, families)[:PUREST]
        shown = {name: table[name] for name in (reference, *others)}
    if len(shown) == len(table):
        shown = {}
    return write_first_grid(path, shown)


def write_worst_grid(
    path: Path, table: Table, reference: str, families: Mapping[str, str]
) -> dict[str, Any] | None:
    """The reference's worst pairs by SPI: the original without and with the target, the reference, another.

    The other one has the highest SPS of other families than the reference's, or of its own where there are
    none; pictures that it does not keep are grey. None, and no file, where the reference keeps no pictures.
    """
    found = table[reference].shown if reference in table else None
    pairs = _worst(found) if found else []
    if found is None or not pairs:
        path.unlink(missing_ok=True)
        return None
    best = next((table[name] for name in _purest_others(table, reference, families)), None)
    rows = {
        "original": _whole(found, "original", pairs),
        "original, complete text": _whole(found, "prompted", pairs),
        reference: _whole(found, "tuned", pairs),
    }
    shown = {reference: found}
    if best is not None and best.shown is not None:
        size = rows[reference][0].size
        rows[f"{best.entry.name} (best other)"] = _some(best.shown, "tuned", pairs, size)
        shown[best.entry.name] = best.shown
    captions = [f"SPI {found.rows[i]['spi'] or 0.0:.2f}: {found.rows[i]['base_text']}" for i in pairs]
    _save(path, comparison_grid(rows, captions, _scale(rows)))
    return _facts(found, pairs, shown)


def _worst(found: Finished) -> list[int]:
    """The worst pairs whose pictures are kept: fewer where another preset was the reference before."""
    worst = worst_pairs([row["spi"] for row in found.rows], WORST)
    wanted = {"original", "prompted", "tuned"}
    return [pair for pair in worst if found.sheet and wanted <= set(found.sheet.pictures(pair).roles)]


def _purest_others(table: Table, reference: str, families: Mapping[str, str]) -> list[str]:
    """Presets of other families than the reference's, else of its own; the purest first."""
    foreign = [name for name in table if families[name] != families[reference]]
    others = foreign or [name for name in table if name != reference]
    purity = {name: table[name].scores.estimates.headline["sps"].value or 0.0 for name in others}
    return sorted(others, key=lambda name: -purity[name])


def _whole(found: Finished, role: str, pairs: Sequence[int]) -> list[Image.Image]:
    kept = [found.sheet.pictures(pair).roles for pair in pairs] if found.sheet else []
    if not kept or not all(role in each for each in kept):
        raise RunError(
            f"the record of cell '{found.cell.name}' lacks pictures; "
            f"delete the cell's folder and run the benchmark again"
        )
    return [each[role] for each in kept]


def _some(found: Finished, role: str, pairs: Sequence[int], size: tuple[int, int]) -> list[Image.Image]:
    kept = [found.sheet.pictures(pair).roles for pair in pairs] if found.sheet else []
    return [each.get(role) or Image.new("RGB", size, _EMPTY) for each in kept]


def _facts(first: Finished, pairs: Sequence[int], shown: Mapping[str, Finished]) -> dict[str, Any]:
    return {
        "prompts": [first.rows[i]["complete_text"] for i in pairs],
        "noise_seeds": [first.rows[i]["noise"] for i in pairs],
        "training_seeds": {name: each.cell.seed for name, each in shown.items()},
    }


def _scale(rows: Mapping[str, Sequence[Image.Image]]) -> int:
    return max(1, _TILE // next(iter(rows.values()))[0].width)


def _save(path: Path, grid: Image.Image) -> None:
    with atomic_file(path) as temporary:
        grid.save(temporary, format="WEBP", quality=_QUALITY, method=6)
