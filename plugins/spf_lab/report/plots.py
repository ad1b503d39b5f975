"""Plots of the page, narrow enough to be read on a phone: training curves, dots with intervals, ablations."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from spf_lab.evaluation.plots import COLOURS, mark_of
from spf_lab.evaluation.purity import Floats
from spf_lab.report.arms import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 4.8  # inches
_WINDOWS = 40  # a curve is smoothed over this part of its steps


def curves_figure(title: str, curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> "Figure":
    """Values over optimizer steps, each line a running mean over its own pale values."""
    figure, axis = _axis(title, 2.9)
    for number, (name, (steps, values)) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        axis.plot(steps, values, color=colour, alpha=0.2, linewidth=0.7)
        axis.plot(steps, smoothed(values), color=colour, linewidth=1.6, label=name)
    if all(value > 0 for _, values in curves.values() for value in values):
        _logarithmic(axis)
    axis.set_xlabel("optimizer step")
    axis.grid(color="#e5e5e5", linewidth=0.6)
    if len(curves) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    return figure


def smoothed(values: Sequence[float]) -> Floats:
    """Running mean; the window shrinks towards both ends."""
    array = np.asarray(values, np.float64)
    half = len(array) // _WINDOWS // 2
    total = np.concatenate([[0.0], np.cumsum(array)])
    low, high = (
        np.maximum(np.arange(len(array)) - half, 0),
        np.minimum(np.arange(len(array)) + half + 1, len(array)),
    )
    return np.asarray((total[high] - total[low]) / (high - low))


def dots_figure(
    title: str,
    rows: Mapping[str, Json],
    measure: str,
    limits: tuple[float, float],
    colours: Mapping[str, str],
) -> "Figure":
    """A measure of every preset as a dot with its 95 % interval; `colours` by preset where they are fixed."""
    figure, axis = _axis(title, 0.26 * len(rows) + 0.8)
    for place, (name, row) in enumerate(rows.items()):
        value, (colour, marker) = row[measure], mark_of(place)
        if name in colours:
            colour, marker = colours[name], "o"
        if value["value"] is not None:
            axis.plot(value["ci"], [place, place], color="#9a9a9a", linewidth=2, solid_capstyle="butt")
            axis.plot(value["value"], place, marker, color=colour, markersize=5, clip_on=False)
    axis.set(xlim=limits)
    _named(axis, list(rows))
    return figure


def bars_figure(title: str, tests: Sequence[Json]) -> "Figure":
    """How much the reference gains over each other preset, with 95 % intervals of the paired differences."""
    shown = [test for test in tests if test["difference"]["value"] is not None]
    figure, axis = _axis(title, 0.26 * len(shown) + 0.8)
    for place, test in enumerate(shown):
        low, high = test["difference"]["ci"]
        clear = low > 0 or high < 0
        axis.barh(place, test["difference"]["value"], color=COLOURS[0] if clear else "#b9c7d2", height=0.62)
        axis.plot([low, high], [place, place], color="#222222", linewidth=1.2)
    axis.axvline(0, color="#222222", linewidth=0.8)
    _named(axis, [test["against"] for test in shown])
    return figure


def drift_figure(title: str, drifts: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Presets down, attributes across: percentage points by which the mix of an attribute's values moved."""
    attributes = list(next(iter(drifts.values())))
    grid = np.array([[row[name] for name in attributes] for row in drifts.values()])
    figure, axis = _axis(title, 0.3 * len(grid) + 1.3)
    axis.imshow(grid, cmap="Blues", vmin=0, vmax=max(20.0, float(grid.max())), aspect="auto")
    for (j, k), value in np.ndenumerate(grid):
        shade = "white" if value > 0.6 * max(20.0, float(grid.max())) else "black"
        axis.text(k, j, f"{value:.0f}", ha="center", va="center", fontsize=8, color=shade)
    axis.set_xticks(range(len(attributes)), attributes, rotation=35, ha="right", fontsize=8)
    axis.set_yticks(range(len(grid)), list(drifts), fontsize=8)
    axis.spines[:].set_visible(False)
    return figure


def drift(results: Json) -> dict[str, float]:
    """Per attribute that should stay, half the sum of the absolute mean shifts of its values, in points."""
    return {
        name: sum(abs(leak["shift"]["value"] or 0.0) for leak in row.values()) / 2
        for name, row in results["leakage"].items()
        if name not in results["allowed_attributes"]
    }


def _axis(title: str, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    axis.tick_params(labelsize=8)
    return figure, axis


def _logarithmic(axis: "Axes") -> None:
    """A logarithmic scale with numbers written out at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axis.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.yaxis.set_major_formatter(plain)
    axis.yaxis.set_minor_formatter(plain)
    axis.tick_params(labelsize=8, which="both")


def _named(axis: "Axes", names: Sequence[str]) -> None:
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(ylim=(len(names) - 0.5, -0.5))
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.6)
    axis.set_axisbelow(True)
