"""Plots of what a results.json holds: the leakage heat map and the strength frontier."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spf_core.utils.atomic import atomic_file
from spf_lab.evaluation.purity import sps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
SIGNIFICANT = 0.05
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito 2008
_MARKERS = "osD^v"
_ISO_SPS = (20, 40, 60, 80, 90)
STRONGEST = 3.0  # re-seed standard deviations at full colour; more looks the same
_DPI = 150


def save_figure(path: Path, figure: "Figure") -> None:
    """Write a figure as a PNG file of 256 colours, a third of the size of one with all."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    with atomic_file(path) as temporary:
        fewer = Image.open(stream).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
        fewer.save(temporary, format="png", optimize=True)


def write_plots(out: Path, results: Json) -> None:
    """Write leakage.png, where a judge saw attributes, and frontier.png, where strengths were swept."""
    if results["leakage"]:
        save_figure(out / "leakage.png", leakage_figure(results))
    if "frontier" in results:
        title = f"{results['target']} ({results['suite_label']}): adapter strengths"
        save_figure(out / "frontier.png", frontier_figure(title, {"tuned": results["frontier"]["points"]}))


def leakage_figure(results: Json) -> "Figure":
    """Attributes down, their values across: colour L, text the shift in points, a dot where q < 0.05."""
    from matplotlib.figure import Figure

    leakage: Json = results["leakage"]
    widest = max(len(row) for row in leakage.values())
    grid = np.full((len(leakage), widest), np.nan)
    for j, row in enumerate(leakage.values()):
        grid[j, : len(row)] = [leak["value"] for leak in row.values()]
    limit = float(np.clip(np.nanmax(np.abs(grid)), 1.0, STRONGEST))
    figure = Figure(figsize=(1.0 * widest + 2.6, 0.55 * len(grid) + 0.9))
    axis = figure.add_axes((0.18, 0.03, 0.7, 1 - 0.75 / figure.get_figheight()))
    image = axis.imshow(np.ma.masked_invalid(grid), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for j, row in enumerate(leakage.values()):
        for k, (value, leak) in enumerate(row.items()):
            mark = " ●" if leak["q"] < SIGNIFICANT else ""
            shade = "white" if abs(grid[j, k]) > 0.6 * limit else "black"
            text = f"{value}{mark}\n{round(leak['shift']['value'] or 0.0):+d}"
            axis.text(k, j, text, ha="center", va="center", fontsize=8, color=shade)
    axis.set_yticks(range(len(grid)), [_attribute_label(name, results) for name in leakage])
    axis.set(xticks=[])
    axis.spines[:].set_visible(False)
    bar = figure.add_axes((0.9, 0.1, 0.015, 0.7))
    figure.colorbar(image, cax=bar, label="shift / re-seed s.d.", extend="both")
    axis.set_title(_leakage_title(results), fontsize=10)
    return figure


def frontier_figure(title: str, curves: Mapping[str, Sequence[Json]]) -> "Figure":
    """Effect against 1 - SPI with lines of equal SPS; a curve's points carry their strength.

    A point holds `effect` and `spi` as `{"value", "ci"}`, and `strength` where it has one.
    """
    from matplotlib.figure import Figure

    lines = -(-len(curves) // 2) if len(curves) > 1 else 0
    figure = Figure(figsize=(5.2, 4.7 + 0.17 * lines), layout="constrained")
    axis = figure.subplots()
    iso_lines(axis)
    for number, (name, points) in enumerate(curves.items()):
        _curve(axis, name, points, *mark_of(number))
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="effect E →", ylabel="kept as it was, 1 - SPI →")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    if len(curves) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=2)
    return figure


def mark_of(number: int) -> tuple[str, str]:
    """Colour and marker of a figure's n-th row, the same in all figures of a page."""
    return COLOURS[number % len(COLOURS)], _MARKERS[number // len(COLOURS) % len(_MARKERS)]


def iso_lines(axis: "Axes") -> None:
    """Lines of equal SPS behind a plane of effect and 1 - SPI."""
    e, kept = np.meshgrid(np.linspace(0.001, 1, 200), np.linspace(0.001, 1, 200))
    lines = axis.contour(e, kept, sps(e, 1 - kept), _ISO_SPS, colors="#cccccc", linewidths=0.8)
    axis.clabel(lines, fmt="SPS %d", fontsize=7, colors="#888888")


def _curve(axis: "Axes", name: str, points: Sequence[Json], colour: str, marker: str) -> None:
    shown = [p for p in points if p["effect"]["value"] is not None and p["spi"]["value"] is not None]
    x, y = [p["effect"]["value"] for p in shown], [1 - p["spi"]["value"] for p in shown]
    axis.plot(x, y, "-", color=colour, linewidth=1.4, zorder=2)
    axis.plot(x, y, marker, color=colour, markersize=5, zorder=3, label=name)
    for point, e, kept in zip(shown, x, y, strict=True):
        low, high = point["effect"]["ci"]
        axis.plot([low, high], [kept, kept], color=colour, alpha=0.35, linewidth=1)
        low, high = point["spi"]["ci"]
        axis.plot([e, e], [1 - low, 1 - high], color=colour, alpha=0.35, linewidth=1)
        if "strength" in point:
            text = f"{point['strength']:g}"
            axis.annotate(text, (e, kept), (4, 4), textcoords="offset points", fontsize=7, color=colour)


def _attribute_label(name: str, results: Json) -> str:
    return f"{name}\n(may change)" if name in results["allowed_attributes"] else name


def _leakage_title(results: Json) -> str:
    pairs = f"{results['n_prompts']} prompts x {results['n_seeds']} seeds"
    return (
        f"What '{results['target']}' changes besides itself, A to C\n{results['suite_label']}, {pairs}; "
        f"numbers: percentage points; ● q < {SIGNIFICANT}"
    )
