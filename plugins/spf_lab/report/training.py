"""The training of a run: images, curves and costs."""

from pathlib import Path
from typing import Any

from spf_core.data import Row, open_rgb, read_folder
from spf_core.plugins import Facts, Paragraph, Picture, Plots, ReportSection, Tiles
from spf_core.plugins.discovery import Plugins
from spf_core.plugins.report_section import Block
from spf_core.runs.run import CONFIG_FILE
from spf_core.training.run_log import read_metrics
from spf_core.utils.json_text import read_json
from spf_core.utils.yaml_text import read_yaml
from spf_lab.evaluation.saved import RESULTS_FILE
from spf_lab.report.arms import Json
from spf_lab.report.plots import curves_figure
from spf_lab.report.rows import rows_of

PICTURES = 12


def training(run: Path, evaluation: Path | None, plugins: Plugins) -> ReportSection:
    """The first training pictures, the loss curves and what training cost."""
    config = read_yaml(run / CONFIG_FILE)
    rows = rows_of(config, plugins, read_folder)
    blocks = [*_images(config, rows, evaluation), *_curves(run)]
    return ReportSection("training", "Training", blocks)


def _images(config: Json, rows: list[Row], evaluation: Path | None) -> list[Block]:
    if not rows:
        return [Paragraph(f"The training folder `{Path(str(config.get('data'))).name}` no longer exists.")]
    shown = rows[:PICTURES]
    known = read_json(evaluation / RESULTS_FILE)["training_bias"] if evaluation else {}
    bias = ", ".join(f"{key} {value}" for key, value in known.items())
    shared = f" All of them share {bias}, which no caption mentions." if bias else ""
    return [
        Paragraph(f"{len(rows)} training images. These are the first {len(shown)}.{shared}"),
        Tiles([Picture(open_rgb(row.image), row.base_text) for row in shown]),
    ]


def _curves(run: Path) -> list[Block]:
    lines = read_metrics(run)
    if not lines:
        return [Paragraph("The run has no logged step.")]
    steps = [line["step"] for line in lines]
    terms = {
        name: ([line["step"] for line in lines if name in line["terms"]], _term(lines, name))
        for name in dict.fromkeys(name for line in lines for name in line["terms"])
    }
    total = {"loss": (steps, [line["loss"] for line in lines])}
    sank = f"Training loss over {steps[-1]} steps, from {lines[0]['loss']:.3g} to {lines[-1]['loss']:.3g}"
    named = f"Weighted terms over the steps: {', '.join(terms)}"
    curves = [
        Picture(curves_figure("Loss, the weighted sum", total), sank),
        Picture(curves_figure("Its terms, weighted", terms), named),
    ]
    return [Plots(curves), Facts(_costs(lines))]


def _term(lines: list[dict[str, Any]], name: str) -> list[float]:
    return [line["terms"][name]["weighted"] for line in lines if name in line["terms"]]


def _costs(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    seconds = sum(line["seconds"] for line in lines)
    return [
        ("steps", str(lines[-1]["step"])),
        ("time", f"{seconds:.0f} s, {seconds / len(lines):.2f} s a step"),
        ("peak memory", f"{max(line['peak_memory_mib'] for line in lines):,.0f} MiB"),
    ]
