"""Picture grids of an evaluation: the first rows with change maps, and the worst."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_core.interfaces import Quadruples, Suite
from spf_lab.evaluation.measure import Measurements
from spf_lab.evaluation.pictures import change, first_pairs, shared_top, worst_pairs
from spf_lab.evaluation.plots import save_figure
from spf_lab.evaluation.results import Results
from spf_lab.evaluation.scores import pair_pollution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("original\nbase text", "original\ncomplete text", "tuned\ncomplete text", "tuned\nbase text")
_PITCH = 1.05  # from one tile to the next; a tile is 1 x 1


def write_grids(out: Path, results: Results, quads: Quadruples, found: Measurements, suite: Suite) -> None:
    """Write grid.png and worst.png into `out`."""
    first, worst = first_pairs(found.prompts, quads.seeds), worst_pairs(pair_pollution(found))
    name = f"{results.target} ({results.label})"
    save_figure(out / "grid.png", grid_figure(f"{name}: the first prompts", first, quads, found, suite))
    save_figure(out / "worst.png", grid_figure(f"{name}: worst by SPI", worst, quads, found, suite))


def grid_figure(
    title: str, rows: Sequence[int], quads: Quadruples, found: Measurements, suite: Suite
) -> "Figure":
    """A row per pair: A, B, C, D, and |A - C| with the target's region outlined; one scale for all maps."""
    from matplotlib.figure import Figure

    width, height = 5 * _PITCH + 1.4, len(rows) * _PITCH + 0.6
    figure = Figure(figsize=(1.55 * (width + 0.5), 1.55 * height))
    axis = figure.add_axes((0.0, 0.0, width / (width + 0.5), 1.0))
    axis.set(xlim=(-1.4, 5 * _PITCH), ylim=(len(rows) * _PITCH, -0.6))
    axis.set_axis_off()
    pollution = pair_pollution(found)
    a, c = [quads.a[i] for i in rows], [quads.c[i] for i in rows]
    outside = suite.region(a, c, quads.target).outside_NHW.numpy()
    changes = [change(one, other) for one, other in zip(a, c, strict=True)]
    top = shared_top(changes)
    for place, i in enumerate(rows):
        y = place * _PITCH
        for column, picture in enumerate((quads.a[i], quads.b[i], quads.c[i], quads.d[i])):
            _tile(axis, np.asarray(picture), column * _PITCH, y)
        image = _tile(axis, changes[place], 4 * _PITCH, y, cmap="viridis", vmin=0, vmax=top)
        _outline(axis, outside[place], 4 * _PITCH, y)
        label = f"{_row_label(quads, int(i))}\nSPI {_two(pollution[i])}  target {_two(found.tau['c'][i])}"
        axis.text(-0.06, y + 0.5, label, fontsize=6, ha="right", va="center")
    for column, head in enumerate((*COLUMNS, "change |A - C|\nregion outlined")):
        axis.text(column * _PITCH + 0.5, -0.06, head, fontsize=9, ha="center", va="bottom")
    axis.text(2.5 * _PITCH, -0.55, title, fontsize=11, ha="center", va="top")
    bar = figure.add_axes((width / (width + 0.5), 1 - 1.6 / height, 0.014, 1 / height))
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)
    axis.set_aspect("auto")
    return figure


def _two(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _tile(axis: "Axes", pixels: np.ndarray, x: float, y: float, **colours: Any) -> Any:
    return axis.imshow(pixels, extent=(x, x + 1, y + 1, y), interpolation="nearest", **colours)


def _outline(axis: "Axes", outside: np.ndarray, x: float, y: float) -> None:
    if outside.any() and not outside.all():
        height, width = outside.shape
        columns, rows = (np.arange(width) + 0.5) / width + x, (np.arange(height) + 0.5) / height + y
        axis.contour(columns, rows, outside.astype(float), levels=[0.5], colors="white", linewidths=0.8)


def _row_label(quads: Quadruples, i: int) -> str:
    import textwrap

    text = quads.prompts[i // quads.seeds].prompt.base_text
    return "\n".join(textwrap.wrap(text, 30)) + f"\nseed {i % quads.seeds}"
