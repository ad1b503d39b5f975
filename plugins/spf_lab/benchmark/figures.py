"""All figures of a benchmark as files: charts as PNG, grids of pictures as WebP."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf_lab.benchmark.analysis import Table
from spf_lab.benchmark.charts import ablation_figure, leakage_figure, purity_figure
from spf_lab.benchmark.contact_sheet import ContactSheet
from spf_lab.benchmark.effect_purity_plot import effect_purity_figure
from spf_lab.benchmark.grids import Grid, first_grid, worst_grid, write_grid
from spf_lab.benchmark.page import PURITY_FILE, target_file
from spf_lab.benchmark.styles import related, styles_of
from spf_lab.evaluation.plots import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRIDS = {"grid": first_grid, "worst": worst_grid}


def write_figures(out: Path, results: Mapping[str, Any]) -> None:
    """Draw every chart of what results.json holds."""
    save_figure(out / PURITY_FILE, purity_figure(results))
    for target, found in results["targets"].items():
        for kind, figure in target_figures(target, results, found["presets"]).items():
            save_figure(out / target_file(kind, target), figure)


def target_figures(target: str, results: Mapping[str, Any], rows: Mapping[str, Any]) -> "dict[str, Figure]":
    """Kind -> figure of a target: the plane, the leakage and, where the reference has some, its ablations."""
    label = f"{target} ({results['suite_label']})"
    figures = {"plane": effect_purity_figure(f"{label}: effect and purity", results, rows)}
    if all(row.get("leakage") for row in rows.values()):
        title = f"{label}: what shifts besides the target, A to C\n● q < 0.05   * may change with the target"
        figures["leakage"] = leakage_figure(title, rows)
    if related(results, rows):
        title = f"{label}: {results['reference']} and its variants"
        figures["ablations"] = ablation_figure(title, results, rows)
    return figures


def find_grids(tables: Mapping[str, Table], results: Mapping[str, Any]) -> dict[str, dict[str, Grid]]:
    """Target -> kind -> grid of pictures, as far as the cells keep them."""
    reference = results["reference"]
    families = {name: look.family for name, look in styles_of(results).items()}
    return {
        target: {
            kind: grid
            for kind, make in GRIDS.items()
            if (grid := make(table, reference, families)) is not None
        }
        for target, table in tables.items()
    }


def write_grids(
    out: Path, grids: Mapping[str, Mapping[str, Grid]], sheets: Mapping[str, ContactSheet]
) -> None:
    """Draw the grids of every target from the sheets, by their cells' names."""
    for target, found in grids.items():
        for kind in GRIDS:
            write_grid(out / target_file(kind, target), found.get(kind), sheets)
