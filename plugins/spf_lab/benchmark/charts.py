"""Charts of a benchmark, narrow enough to be read on a phone: purity, ablations and leakage.

All are plain functions of what results.json holds.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_lab.benchmark.styles import related, styles_of
from spf_lab.benchmark.tables import HEADLINE, by_purity
from spf_lab.evaluation.plots import SIGNIFICANT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
WIDTH = 5.2  # inches
ABLATED = {"sps": (0, 100), "effect": (0, 1), "spi": (0, 1), "rec": (0, 100)}
_ROW = 0.24
_STRONGEST = 1.0  # re-seed standard deviations at full colour


def purity_figure(results: Json) -> "Figure":
    """SPS of each preset by purity, the mean over targets with its 95 % interval; strokes are the targets."""
    from matplotlib.figure import Figure

    means, looks = results["mean_over_targets"], styles_of(results)
    rows = {name: means[name] for name in by_purity(means)}
    figure = Figure(figsize=(WIDTH, _ROW * len(rows) + 1.1), layout="constrained")
    axis = figure.subplots()
    for place, (name, row) in enumerate(rows.items()):
        colour, found = looks[name].colour, row["sps"]
        if len(results["targets"]) > 1:
            each = [target["presets"][name]["sps"]["value"] for target in results["targets"].values()]
            values = [value for value in each if value is not None]
            axis.plot(values, [place] * len(values), "|", color=colour, alpha=0.6, markersize=7)
        if found["value"] is not None:
            axis.plot(found["ci"], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
            axis.plot(found["value"], place, "o", color=colour, markersize=5.5, clip_on=False, zorder=3)
    axis.set(xlim=(0, 100))
    axis.set_xlabel("SPS (purity, 0 to 100), 95 % intervals", fontsize=9)
    _named(axis, list(rows))
    several = ", mean over targets; strokes: each target" if len(results["targets"]) > 1 else ""
    figure.suptitle(f"{results['suite_label']}{several}", fontsize=9, x=0.02, ha="left")
    return figure


def ablation_figure(title: str, results: Json, rows: Mapping[str, Json]) -> "Figure":
    """SPS, E, SPI and REC of the reference and of its ablations as bars with 95 % intervals."""
    from matplotlib.figure import Figure

    names, looks = related(results, rows), styles_of(results)
    figure = Figure(figsize=(WIDTH + 0.6, 2 * (_ROW * len(names) + 0.6) + 0.4), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True).reshape(-1)
    for axis, (measure, limits) in zip(axes, ABLATED.items(), strict=True):
        for place, name in enumerate(names):
            found = rows[name][measure]
            if found["value"] is not None:
                own = name == results["reference"]
                axis.barh(
                    place, found["value"], color=looks[name].colour, alpha=1 if own else 0.45, height=0.66
                )
                axis.plot(found["ci"], [place, place], color="#222222", linewidth=1.2)
        axis.axvline(rows[names[0]][measure]["value"] or 0, color="#222222", linewidth=0.7, linestyle=":")
        axis.set(xlim=limits)
        axis.set_title(" ".join(HEADLINE[measure]), fontsize=9, loc="left")
        _named(axis, names)
    figure.suptitle(title, fontsize=10, x=0.02, ha="left")
    return figure


def leakage_figure(title: str, rows: Mapping[str, Json]) -> "Figure":
    """Presets down, attributes across: how far their values shift; a dot where one of them has q < 0.05."""
    from matplotlib.figure import Figure

    attributes = next(iter(rows.values()))["leakage"]
    cells = [[row["leakage"][name] for name in attributes] for row in rows.values()]
    grid = np.array([[cell["value"] for cell in line] for line in cells], np.float64)
    figure = Figure(figsize=(WIDTH + 0.4, _ROW * len(grid) + 1.9), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(grid, cmap="Oranges", vmin=0, vmax=_STRONGEST, aspect="auto")
    for (j, k), value in np.ndenumerate(grid):
        mark = "●" if cells[j][k]["q"] < SIGNIFICANT else ""
        shade = "white" if value > 0.65 * _STRONGEST else "black"
        text = f"{value:.2f}{mark}"
        axis.text(k, j, text, ha="center", va="center", fontsize=7, color=shade)
    labels = [
        f"{name.replace('_', ' ')}{'*' if cell['allowed'] else ''}" for name, cell in attributes.items()
    ]
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    bar = figure.colorbar(image, ax=axis, fraction=0.03, pad=0.02, extend="max")
    bar.set_label("mean shift / re-seed s.d.", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9, x=0.02, ha="left")
    return figure


def _named(axis: "Axes", names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    axis.set(ylim=(len(names) - 0.4, -0.6))
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
