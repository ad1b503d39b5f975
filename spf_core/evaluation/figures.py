"""Figures of an evaluation: example rows with change maps, the worst rows, and the leakage heat map."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spf_core.checkpoint import atomic_file
from spf_core.evaluation.measure import Measurements
from spf_core.evaluation.purity import Floats
from spf_core.evaluation.results import Results
from spf_core.evaluation.scores import pair_pollution
from spf_core.interfaces import Quadruples, Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 8
COLUMNS = ("original\nbase text", "original\ncomplete text", "tuned\ncomplete text", "tuned\nbase text")
SIGNIFICANT = 0.05
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


def grid_figure(
    title: str, rows: Sequence[int] | np.ndarray, quads: Quadruples, found: Measurements, suite: Suite
) -> "Figure":
    """A row per pair: A, B, C, D, and |A - C| with the target's region outlined; one scale for all maps."""
    from matplotlib.figure import Figure

    pollution = pair_pollution(found)
    a, c = [quads.a[i] for i in rows], [quads.c[i] for i in rows]
    outside = suite.region(a, c, quads.target).outside_NHW.numpy()
    changes = [_change(one, other) for one, other in zip(a, c, strict=True)]
    top = max(0.1, *(float(change.max()) for change in changes))
    figure = Figure(figsize=(9.6, 1.75 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), 5, squeeze=False)
    for place, i in enumerate(rows):
        pictures = (quads.a[i], quads.b[i], quads.c[i], quads.d[i])
        for axis, picture in zip(axes[place], pictures, strict=False):
            axis.imshow(np.asarray(picture), interpolation="nearest")
        image = _draw_change(axes[place, 4], changes[place], outside[place], top)
        axes[place, 0].set_ylabel(_row_label(quads, int(i)), fontsize=6, rotation=0, ha="right", va="center")
        axes[place, 4].set_xlabel(f"SPI {pollution[i]:.2f}  target {found.tau['c'][i]:.2f}", fontsize=7)
    for axis, head in zip(axes[0], (*COLUMNS, "change |A - C|\nregion outlined"), strict=True):
        axis.set_title(head, fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes[:, 4].tolist(), shrink=min(1.0, 3 / len(rows)), label="mean |difference|")
    figure.suptitle(title, fontsize=11)
    return figure


def leakage_figure(results: Results) -> "Figure":
    """Attributes down, their values across: colour L, text the shift in points, a dot where q < 0.05."""
    from matplotlib.figure import Figure

    widest = max(len(row) for row in results.leakage.values())
    grid = np.full((len(results.leakage), widest), np.nan)
    for j, row in enumerate(results.leakage.values()):
        grid[j, : len(row)] = [leak.leakage.value for leak in row.values()]
    limit = max(1.0, float(np.nanmax(np.abs(grid))))
    figure = Figure(figsize=(1.15 * widest + 2.6, 0.62 * len(grid) + 1.4), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    for j, row in enumerate(results.leakage.values()):
        for k, (value, leak) in enumerate(row.items()):
            mark = " ●" if leak.q < SIGNIFICANT else ""
            shade = "white" if abs(grid[j, k]) > 0.6 * limit else "black"
            text = f"{value}{mark}\n{leak.shift.value:+.0f}"
            axis.text(k, j, text, ha="center", va="center", fontsize=8, color=shade)
    axis.set_yticks(range(len(grid)), list(results.leakage))
    axis.set(xticks=[])
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="shift / re-seed s.d.")
    axis.set_title(_leakage_title(results), fontsize=10)
    return figure


def _leakage_title(results: Results) -> str:
    pairs = f"{results.n_prompts} prompts x {results.n_seeds} seeds"
    return (
        f"What '{results.target}' changes besides itself, A to C\n{results.label}, {pairs}; "
        f"numbers: percentage points; ● q < {SIGNIFICANT}"
    )


def _draw_change(axis: "Axes", change: Floats, outside: np.ndarray, top: float) -> Any:
    image = axis.imshow(change, cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
    if outside.any() and not outside.all():
        height, width = change.shape
        x = (np.arange(outside.shape[1]) + 0.5) * width / outside.shape[1] - 0.5
        y = (np.arange(outside.shape[0]) + 0.5) * height / outside.shape[0] - 0.5
        axis.contour(x, y, outside.astype(float), levels=[0.5], colors="white", linewidths=0.8)
    return image


def _change(one: Any, other: Any) -> Floats:
    first, second = (np.asarray(image.convert("RGB"), np.float64) / 255 for image in (one, other))
    return np.asarray(np.abs(first - second).mean(axis=2))


def _row_label(quads: Quadruples, i: int) -> str:
    import textwrap

    text = quads.prompts[i // quads.seeds].prompt.base_text
    return "\n".join(textwrap.wrap(text, 28)) + f"\nseed {i % quads.seeds}"


def _save(path: Path, draw: Callable[[], "Figure"]) -> None:
    with atomic_file(path) as temporary:
        draw().savefig(temporary, format="png", dpi=_DPI)
