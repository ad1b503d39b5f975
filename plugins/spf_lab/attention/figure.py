"""Attention maps as one picture: timesteps across, models down."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_lab.attention.types import AttentionMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT = "viridis"
_TILE, _LEFT, _TOP, _BAR = 1.15, 1.5, 0.85, 0.75  # inches


def attention_figure(maps: AttentionMaps) -> "Figure":
    """Rows: what each model expects to draw and its attention on one scale; last the control map, 0 to 1."""
    from matplotlib.figure import Figure

    rows = figure_rows(maps)
    columns = len(maps.timesteps)
    width, height = _LEFT + columns * _TILE + _BAR, _TOP + len(rows) * _TILE + 0.1
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    axis.text(0.1, 0.12, _title(maps), fontsize=10, va="top")
    for column, t in enumerate(maps.timesteps):
        x = _LEFT + (column + 0.5) * _TILE
        axis.text(x, _TOP - 0.06, f"t = {t:.2f}", fontsize=8, ha="center", va="bottom")
    for row, (label, tiles, top) in enumerate(rows):
        y = _TOP + row * _TILE
        axis.text(_LEFT - 0.1, y + _TILE / 2, label, fontsize=9, ha="right", va="center")
        for column, tile in enumerate(tiles):
            _draw(axis, tile, top, _LEFT + column * _TILE, y)
        if top is not None:
            _scale(figure, top, (width - _BAR + 0.08, y, width, height))
    axis.set_aspect("auto")
    return figure


def figure_rows(maps: AttentionMaps) -> list[tuple[str, Sequence[Any], float | None]]:
    """Label, tiles and top of the scale of each row; pictures have no scale."""
    rows: list[tuple[str, Sequence[Any], float | None]] = []
    for name, strip in maps.strips.items():
        rows.append((f"{name}\nestimate", strip.estimates, None))
        rows.append((f"{name}\nattention", strip.attention, maps.strongest))
        if strip.control:
            rows.append((f"control map\n{maps.control_map}", strip.control, 1.0))
    return rows


def _title(maps: AttentionMaps) -> str:
    way = "from noise (t = 1) to picture (t = 0)"
    return (
        f"Attention to '{maps.token}' while sampling, {way}, seed {maps.seed}\n'{maps.prompt.complete_text}'"
    )


def _draw(axis: "Axes", tile: Any, top: float | None, x: float, y: float) -> None:
    place = (x + 0.02, x + _TILE - 0.02, y + _TILE - 0.02, y + 0.02)
    if tile is None:
        axis.text(
            x + _TILE / 2,
            y + _TILE / 2,
            "not read\nyet",
            fontsize=7,
            color="#888888",
            ha="center",
            va="center",
        )
    elif top is None:
        axis.imshow(np.asarray(tile), extent=place)
    else:
        axis.imshow(tile, extent=place, cmap=HEAT, vmin=0, vmax=top or 1.0, interpolation="nearest")


def _scale(figure: "Figure", top: float, place: tuple[float, float, float, float]) -> None:
    """A colour bar at x, y of a page of some width and height, in inches from the top left."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    x, y, width, height = place
    box = (x / width, 1 - (y + _TILE - 0.1) / height, 0.1 / width, (_TILE - 0.2) / height)
    bar = figure.colorbar(ScalarMappable(Normalize(0, top or 1.0), HEAT), cax=figure.add_axes(box))
    bar.ax.tick_params(labelsize=6)
