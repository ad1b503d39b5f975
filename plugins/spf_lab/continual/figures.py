"""Figures of the continual protocol: matrices over stages and targets, and what grows from stage to stage."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_lab.evaluation.plots import mark_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
_CELL, _LABELS, _GAP, _TOP = 0.6, 1.35, 0.8, 0.35  # inches
_SHOWN = (("effect", "effect E ↑", "viridis"), ("spi", "pollution SPI ↓", "magma_r"))


def matrix_figure(title: str, preset: Json) -> "Figure":
    """E[k, i] and SPI[k, i]: a row for the mean over orders and one for each; stages down, targets across.

    A frame surrounds what was learned by the stage; cells that were not judged stay white.
    """
    from matplotlib.figure import Figure

    orders, side = preset["orders"], len(preset["stages"]["rec"]) * _CELL
    width, height = 2 * (side + _LABELS) + 0.7, (len(orders) + 1) * (side + _GAP) + _TOP
    figure = Figure(figsize=(width, height))

    def add(left: float, bottom: float, wide: float, high: float) -> "Axes":
        return figure.add_axes((left / width, bottom / height, wide / width, high / height))

    for row, (name, stages, targets, found) in enumerate(_rows(preset)):
        bottom = height - _TOP - (row + 1) * (side + _GAP) + 0.5
        y = (bottom + side + 0.07) / height
        figure.text(0.1 / width, y, name, ha="left", va="bottom", fontsize=9, weight="bold")
        for column, (key, label, colours) in enumerate(_SHOWN):
            axis = add(_LABELS + column * (side + _LABELS), bottom, side, side)
            image = _matrix(axis, found[key], stages, targets, colours)
            axis.set_title(label, fontsize=9, loc="left", pad=4)
            if row == 0:
                bar = add(width - 0.6, bottom + (1 - column) * (side / 2 + 0.1), 0.11, side / 2 - 0.12)
                figure.colorbar(image, cax=bar, ticks=[0, 0.5, 1]).ax.tick_params(labelsize=6)
                bar.set_title(("E", "SPI")[column], fontsize=6, pad=2)
    figure.text(0.1 / width, 1 - 0.08 / height, title, fontsize=11, ha="left", va="top")
    return figure


def stage_figure(title: str, presets: Mapping[str, Json]) -> "Figure":
    """REC and the pollution of the first target after each stage: one line per preset, bands of 95 %."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.7 + 0.2 * -(-len(presets) // 4)), layout="constrained")
    left, right = figure.subplots(1, 2)
    for number, (name, preset) in enumerate(presets.items()):
        style = mark_of(number)
        _band(left, name, preset["stages"]["rec"], *style)
        _band(right, None, preset["stages"]["spi_first"], *style)
    left.set_ylabel("REC: likeness under the base text ↑")
    left.set_ylim(0, 101)
    right.set_ylabel("SPI of the first target ↓")
    right.set_ylim(-0.02, 1.02)
    count = max(len(preset["stages"]["rec"]) for preset in presets.values())
    for axis in (left, right):
        axis.set_xlabel("targets learned")
        axis.set_xticks(range(1, count + 1))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.set_axisbelow(True)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    if len(presets) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=4)
    return figure


def _rows(preset: Json) -> list[tuple[str, list[str], list[str], Json]]:
    """Heading, names of stages and of targets in the order of learning, and matrices, for each row."""
    numbers = range(1, len(preset["stages"]["rec"]) + 1)
    stages, places = [f"stage {number}" for number in numbers], [f"target {number}" for number in numbers]
    rows = [("mean of orders", stages, places, preset["matrices"])]
    for name, found in preset["orders"].items():
        targets = list(found["order"])
        rows.append((name, [f"after {target}" for target in targets], targets, found))
    return rows


def _matrix(
    axis: "Axes",
    matrix: Sequence[Sequence[Json]],
    stages: Sequence[str],
    targets: Sequence[str],
    colours: str,
) -> Any:
    values = np.array(
        [[np.nan if each["value"] is None else each["value"] for each in row] for row in matrix], np.float64
    )
    image = axis.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=1, aspect="equal")
    for (k, i), value in np.ndenumerate(values):
        if not np.isnan(value):
            red, green, blue, _ = image.cmap(value)
            ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"
            axis.text(i, k, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
    count = len(values)
    stairs = [(k + dx, k + dy) for k in range(count) for dx, dy in ((-0.5, -0.5), (0.5, -0.5))]
    corners = [*stairs, (count - 0.5, count - 0.5), (-0.5, count - 0.5), (-0.5, -0.5)]
    axis.plot(*zip(*corners, strict=True), color="#d55e00", linewidth=1.8, clip_on=False)
    axis.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    axis.set_xticks(range(count), targets, fontsize=7, rotation=25, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(count), stages, fontsize=7)
    axis.tick_params(length=0, pad=3)
    axis.spines[:].set_visible(False)
    return image


def _band(axis: "Axes", name: str | None, curve: Sequence[Json], colour: str, marker: str) -> None:
    shown = [(k, each) for k, each in enumerate(curve, start=1) if each["value"] is not None]
    x = [k for k, _ in shown]
    axis.plot(x, [each["value"] for _, each in shown], color=colour, marker=marker, markersize=4, label=name)
    low, high = ([each["ci"][side] for _, each in shown] for side in (0, 1))
    axis.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
