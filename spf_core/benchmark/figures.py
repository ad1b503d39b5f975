"""Figures of a benchmark: purity with intervals, and the same people drawn by every preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from spf_core.atomic import atomic_file
from spf_core.benchmark.analysis import Row, Table
from spf_core.errors import RunError
from spf_core.evaluation.pictures import first_pairs, read_pictures
from spf_core.sampling import comparison_grid, save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_COLUMNS = 8  # of a grid; more pictures may be kept


def purity_figure(results: Mapping[str, Any]) -> "Figure":
    """A panel per target: SPS of each preset as a dot with its 95 % interval."""
    from matplotlib.figure import Figure

    targets = results["targets"]
    rows = max(len(found["presets"]) for found in targets.values())
    figure = Figure(figsize=(7, len(targets) * (0.32 * rows + 0.9) + 0.4), layout="constrained")
    axes = figure.subplots(len(targets), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (target, found) in zip(axes, targets.items(), strict=True):
        shown = {
            name: row["sps"] for name, row in found["presets"].items() if row["sps"]["value"] is not None
        }
        for place, sps in enumerate(shown.values()):
            axis.plot(sps["ci"], [place, place], color="#888888", linewidth=2, solid_capstyle="butt")
            axis.plot(sps["value"], place, "o", color="#111111", markersize=5, clip_on=False)
        axis.set_yticks(range(len(shown)), list(shown))
        axis.set(xlim=(0, 100), ylim=(len(shown) - 0.5, -0.5))
        axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title(target, loc="left", fontsize=10)
    axes[-1].set_xlabel("SPS (purity, 0 to 100), 95 % intervals")
    figure.suptitle(results["suite_label"], fontsize=11)
    return figure


def write_purity_figure(path: Path, results: Mapping[str, Any]) -> None:
    """Draw `purity_figure` into a PNG file."""
    with atomic_file(path) as temporary:
        purity_figure(results).savefig(temporary, format="png", dpi=_DPI)


def write_grid(path: Path, table: Table, out: Path) -> None:
    """The evaluation's first prompts: the original on the base text, then every preset on the complete text.

    The pictures are those that were judged; each preset shows its first training seed.
    """
    first = next(iter(table.values()))
    rows = {"original": _pictures(first, out, "original")}
    rows |= {name: _pictures(row, out, "tuned") for name, row in table.items()}
    results = first.cells[0].results
    pairs = [first.cells[0].pairs[i] for i in first_pairs(results["n_prompts"], results["n_seeds"])]
    captions = [text for text, _ in pairs]
    facts = {
        "prompts": "\n".join(captions),
        "noise_seeds": " ".join(str(noise) for _, noise in pairs),
        "training_seeds": " ".join(f"{name}:{row.seeds[0]}" for name, row in table.items()),
    }
    save_png(comparison_grid(rows, captions), path, facts)


def _pictures(row: Row, out: Path, role: str) -> list[Image.Image]:
    cell, results = row.cells[0].cell, row.cells[0].results
    pairs = first_pairs(results["n_prompts"], results["n_seeds"])
    kept = [read_pictures(cell.evaluation(out), pair).roles for pair in pairs]
    if not all(role in each for each in kept):
        raise RunError(
            f"cell '{cell.folder(out)}' is damaged (its evaluation lacks pictures); "
            f"delete that folder and run the benchmark again"
        )
    return [each[role] for each in kept]
