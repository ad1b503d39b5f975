"""Figures of an evaluation: example rows with change maps, the worst rows, and the leakage heat map."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_core.atomic import atomic_file
from spf_core.evaluation.measure import Measurements
from spf_core.evaluation.purity import Floats
from spf_core.evaluation.results import Results
from spf_core.evaluation.scores import pair_pollution
from spf_core.interfaces import Quadruples, Suite
from spf_core.sampling import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 8
COLUMNS = ("original\nbase text", "original\ncomplete text", "tuned\ncomplete text", "tuned\nbase text")
SIGNIFICANT = 0.05
_PITCH = 1.05  # from one tile to the next; a tile is 1 x 1
_STRONGEST = 3.0  # re-seed standard deviations at full colour; more looks the same
_DPI = 150


def write_figures(out: Path, results: Results, quads: Quadruples, found: Measurements, suite: Suite) -> None:
    """Write grid.png, worst.png and leakage.png into `out`."""
    spread = np.linspace(0, len(quads.a) - 1, min(ROWS, len(quads.a))).astype(int)
    pollution = pair_pollution(found)
    worst = np.argsort(np.nan_to_num(-pollution, nan=1.0), kind="stable")[:ROWS]
    name = f"{results.target} ({results.label})"
    _save(out / "grid.png", lambda: grid_figure(f"{name}: rows evenly spread", spread, quads, found, suite))
    _save(out / "worst.png", lambda: grid_figure(f"{name}: worst by SPI", worst, quads, found, suite))
    _save(out / "leakage.png", lambda: leakage_figure(results))


def keep_images(out: Path, quads: Quadruples, count: int) -> None:
    """Write A and C of the first `count` prompts, first seed: images/original-000.png, tuned-000.png, ..."""
    for role, images in (("original", quads.a), ("tuned", quads.c)):
        for number, image in enumerate(images[: count * quads.seeds : quads.seeds]):
            save_png(image, out / "images" / f"{role}-{number:03d}.png", {})


def grid_figure(
    title: str, rows: Sequence[int] | np.ndarray, quads: Quadruples, found: Measurements, suite: Suite
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
    changes = [_change(one, other) for one, other in zip(a, c, strict=True)]
    top = max(0.1, *(float(change.max()) for change in changes))
    for place, i in enumerate(rows):
        y = place * _PITCH
        for column, picture in enumerate((quads.a[i], quads.b[i], quads.c[i], quads.d[i])):
            _tile(axis, np.asarray(picture), column * _PITCH, y)
        image = _tile(axis, changes[place], 4 * _PITCH, y, cmap="viridis", vmin=0, vmax=top)
        _outline(axis, outside[place], 4 * _PITCH, y)
        label = f"{_row_label(quads, int(i))}\nSPI {pollution[i]:.2f}  target {found.tau['c'][i]:.2f}"
        axis.text(-0.06, y + 0.5, label, fontsize=6, ha="right", va="center")
    for column, head in enumerate((*COLUMNS, "change |A - C|\nregion outlined")):
        axis.text(column * _PITCH + 0.5, -0.06, head, fontsize=9, ha="center", va="bottom")
    axis.text(2.5 * _PITCH, -0.55, title, fontsize=11, ha="center", va="top")
    bar = figure.add_axes((width / (width + 0.5), 1 - 1.6 / height, 0.014, 1 / height))
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=7)
    axis.set_aspect("auto")
    return figure


def leakage_figure(results: Results) -> "Figure":
    """Attributes down, their values across: colour L, text the shift in points, a dot where q < 0.05."""
    from matplotlib.figure import Figure

    widest = max(len(row) for row in results.leakage.values())
    grid = np.full((len(results.leakage), widest), np.nan)
    for j, row in enumerate(results.leakage.values()):
        grid[j, : len(row)] = [leak.leakage.value for leak in row.values()]
    limit = float(np.clip(np.nanmax(np.abs(grid)), 1.0, _STRONGEST))
    figure = Figure(figsize=(1.0 * widest + 2.6, 0.55 * len(grid) + 0.9))
    axis = figure.add_axes((0.18, 0.03, 0.7, 1 - 0.75 / figure.get_figheight()))
    image = axis.imshow(np.ma.masked_invalid(grid), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for j, row in enumerate(results.leakage.values()):
        for k, (value, leak) in enumerate(row.items()):
            mark = " ●" if leak.q < SIGNIFICANT else ""
            shade = "white" if abs(grid[j, k]) > 0.6 * limit else "black"
            text = f"{value}{mark}\n{round(leak.shift.value or 0.0):+d}"
            axis.text(k, j, text, ha="center", va="center", fontsize=8, color=shade)
    axis.set_yticks(range(len(grid)), [_attribute_label(name, results) for name in results.leakage])
    axis.set(xticks=[])
    axis.spines[:].set_visible(False)
    bar = figure.add_axes((0.9, 0.1, 0.015, 0.7))
    figure.colorbar(image, cax=bar, label="shift / re-seed s.d.", extend="both")
    axis.set_title(_leakage_title(results), fontsize=10)
    return figure


def _attribute_label(name: str, results: Results) -> str:
    return f"{name}\n(may change)" if name in results.allowed_attributes else name


def _leakage_title(results: Results) -> str:
    pairs = f"{results.n_prompts} prompts x {results.n_seeds} seeds"
    return (
        f"What '{results.target}' changes besides itself, A to C\n{results.label}, {pairs}; "
        f"numbers: percentage points; ● q < {SIGNIFICANT}"
    )


def _tile(axis: "Axes", pixels: np.ndarray, x: float, y: float, **colours: Any) -> Any:
    return axis.imshow(pixels, extent=(x, x + 1, y + 1, y), interpolation="nearest", **colours)


def _outline(axis: "Axes", outside: np.ndarray, x: float, y: float) -> None:
    if outside.any() and not outside.all():
        height, width = outside.shape
        columns, rows = (np.arange(width) + 0.5) / width + x, (np.arange(height) + 0.5) / height + y
        axis.contour(columns, rows, outside.astype(float), levels=[0.5], colors="white", linewidths=0.8)


def _change(one: Any, other: Any) -> Floats:
    first, second = (np.asarray(image.convert("RGB"), np.float64) / 255 for image in (one, other))
    return np.asarray(np.abs(first - second).mean(axis=2))


def _row_label(quads: Quadruples, i: int) -> str:
    import textwrap

    text = quads.prompts[i // quads.seeds].prompt.base_text
    return "\n".join(textwrap.wrap(text, 30)) + f"\nseed {i % quads.seeds}"


def _save(path: Path, draw: Callable[[], "Figure"]) -> None:
    with atomic_file(path) as temporary:
        draw().savefig(temporary, format="png", dpi=_DPI)
