"""Figures of a benchmark: purity with intervals, and the same people drawn by every preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from spf_core.atomic import atomic_file
from spf_core.benchmark.analysis import Table
from spf_core.benchmark.collect import Finished
from spf_core.errors import RunError
from spf_core.evaluation.pictures import first_pairs
from spf_core.sampling import comparison_grid, save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150


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


def write_grid(path: Path, table: Table) -> None:
    """The evaluation's first prompts: the original on the base text, then every preset on the complete text.

    The pictures are those that were judged; each preset shows its first training seed. Presets that keep no
    pictures are left out, and so is the grid where none does.
    """
    shown = {name: row.shown for name, row in table.items() if row.shown}
    if not shown:
        path.unlink(missing_ok=True)
        return
    first = next(iter(shown.values()))
    rows = {"original": _pictures(first, "original")}
    rows |= {name: _pictures(each, "tuned") for name, each in shown.items()}
    pairs = [first.pairs[i] for i in _first(first)]
    captions = [text for text, _ in pairs]
    facts = {
        "prompts": "\n".join(captions),
        "noise_seeds": " ".join(str(noise) for _, noise in pairs),
        "training_seeds": " ".join(f"{name}:{each.cell.seed}" for name, each in shown.items()),
    }
    save_png(comparison_grid(rows, captions), path, facts)


def _first(found: Finished) -> list[int]:
    return first_pairs(found.results["n_prompts"], found.results["n_seeds"])


def _pictures(found: Finished, role: str) -> list[Image.Image]:
    kept = [found.sheet.pictures(pair).roles for pair in _first(found)] if found.sheet else []
    if not kept or not all(role in each for each in kept):
        raise RunError(
            f"the record of cell '{found.cell.name}' lacks pictures; "
            f"delete the cell's folder and run the benchmark again"
        )
    return [each[role] for each in kept]
