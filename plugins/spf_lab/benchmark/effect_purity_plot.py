"""Effect against what was kept, with lines of equal SPS: numbered points that do not cover each other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_lab.benchmark.charts import WIDTH
from spf_lab.benchmark.styles import Style, styles_of
from spf_lab.evaluation.plots import iso_lines
from spf_lab.evaluation.purity import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Json = Mapping[str, Any]
_APART = 0.036  # of labels, as a share of the axes
_COLUMNS = 3


def effect_purity_figure(title: str, results: Json, rows: Mapping[str, Json]) -> "Figure":
    """A point with 95 % intervals for every preset, and a curve over strengths where they were swept."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    looks = {name: look for name, look in styles_of(results).items() if name in rows}
    lines = -(-len(looks) // _COLUMNS)
    figure = Figure(figsize=(WIDTH + 0.8, WIDTH + 0.5 + 0.19 * lines), layout="constrained")
    axis = figure.subplots()
    iso_lines(axis)
    for name, row in rows.items():
        _curve(axis, row.get("frontier") or (), looks[name].colour)
    placed = {name: _point(axis, rows[name], looks[name].colour) for name in looks}
    _labels(axis, {name: point for name, point in placed.items() if point}, looks)
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axis.set_xlabel("effect E →", fontsize=9)
    axis.set_ylabel("kept as it was, 1 - SPI →", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title, fontsize=10, loc="left")
    keys = [
        Line2D(
            [], [], marker="o", color=look.colour, linestyle="", markersize=6, label=f"{look.number} {name}"
        )
        for name, look in looks.items()
    ]
    figure.legend(handles=keys, fontsize=7.5, frameon=False, loc="outside lower left", ncols=_COLUMNS)
    return figure


def spread(points_N2: Floats, apart: float) -> Floats:
    """N x 2 places near the given ones, but at least about `apart` from each other and from all points."""
    places = points_N2 + apart * (0.6 + 0.2 * _directions(len(points_N2)))
    for _ in range(300):
        from_labels, from_points = places[:, None] - places[None], places[:, None] - points_N2[None]
        push = _push(from_labels, apart) + _push(from_points, apart)
        places = np.clip(places + 0.3 * push, 0, 1)
        if np.abs(push).max(initial=0) < 1e-3 * apart:
            break
    return places


def _push(away_NN2: Floats, apart: float) -> Floats:
    """How far each of N places should go to be `apart` from those that are nearer; its own counts nothing."""
    gap_NN = np.linalg.norm(away_NN2, axis=2)
    lack_NN = np.maximum(apart - gap_NN, 0) / np.maximum(gap_NN, 1e-6)
    return np.asarray((lack_NN[..., None] * away_NN2).sum(axis=1))


def _directions(count: int) -> Floats:
    """Directions, N x 2, so that labels of the same point part."""
    turns = 2.4 * np.arange(count)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1)


def _labels(axis: "Axes", placed: Mapping[str, tuple[float, float]], looks: Mapping[str, Style]) -> None:
    if not placed:
        return
    found = spread(np.array(list(placed.values())), _APART)
    for (name, (x, y)), (left, up) in zip(placed.items(), found, strict=True):
        colour = looks[name].colour
        axis.plot([x, left], [y, up], color=colour, linewidth=0.6, zorder=4)
        axis.text(
            left, up, str(looks[name].number), fontsize=7.5, color=colour, ha="center", va="center", zorder=5,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
        )  # fmt: skip


def _point(axis: "Axes", row: Json, colour: str) -> tuple[float, float] | None:
    e, spi = row["effect"], row["spi"]
    if e["value"] is None or spi["value"] is None:
        return None
    x, y = float(e["value"]), 1 - float(spi["value"])
    axis.plot(e["ci"], [y, y], color=colour, alpha=0.4, linewidth=1.2, zorder=2)
    axis.plot([x, x], [1 - end for end in spi["ci"]], color=colour, alpha=0.4, linewidth=1.2, zorder=2)
    axis.plot(x, y, "o", color=colour, markersize=5.5, zorder=3)
    return x, y


def _curve(axis: "Axes", points: Sequence[Json], colour: str) -> None:
    shown = [p for p in points if p["effect"]["value"] is not None and p["spi"]["value"] is not None]
    x, y = [p["effect"]["value"] for p in shown], [1 - p["spi"]["value"] for p in shown]
    axis.plot(x, y, "-", color=colour, linewidth=1.2, alpha=0.8, zorder=2)
    axis.plot(x, y, "o", color=colour, markersize=2.5, zorder=2)
