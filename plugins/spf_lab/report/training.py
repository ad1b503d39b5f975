"""The training of a run: images, curves and costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spf_core.data import Row, open_rgb
from spf_core.training.run_log import read_metrics
from spf_lab.report.arms import Arm
from spf_lab.report.html import Html, facts, image, join, paragraph, plot, tag
from spf_lab.report.plots import curves_figure
from spf_lab.report.sources import picture, vector

PICTURES = 12


def training(run: Path, config: Mapping[str, Any], rows: list[Row], arm: Arm | None) -> Html:
    """The first training pictures, the loss curves and what training cost."""
    parts: list[str] = []
    if rows:
        shown = rows[:PICTURES]
        tiles = [tag("figure", image(picture(open_rgb(row.image)), row.base_text)) for row in shown]
        bias = (
            ", ".join(f"{key} {value}" for key, value in arm.results["training_bias"].items()) if arm else ""
        )
        shared = f" All of them share {bias}, which no caption mentions." if bias else ""
        parts += [paragraph(f"{len(rows)} training images. These are the first {len(shown)}.{shared}")]
        parts.append(tag("div", *tiles, class_="tiles steps"))
    else:
        parts.append(
            paragraph(f"The training folder `{Path(str(config.get('data'))).name}` no longer exists.")
        )
    return join([*parts, _curves(run)])


def _curves(run: Path) -> Html:
    lines = read_metrics(run)
    if not lines:
        return paragraph("The run has no logged step.")
    steps = [line["step"] for line in lines]
    terms = {
        name: ([line["step"] for line in lines if name in line["terms"]], _term(lines, name))
        for name in dict.fromkeys(name for line in lines for name in line["terms"])
    }
    total = {"loss": (steps, [line["loss"] for line in lines])}
    alt = f"Training loss over {steps[-1]} steps, from {lines[0]['loss']:.3g} to {lines[-1]['loss']:.3g}"
    first = plot(vector(curves_figure("Loss, the weighted sum", total)), alt)
    names = ", ".join(terms)
    return join(
        [
            tag(
                "div",
                first,
                plot(
                    vector(curves_figure("Its terms, weighted", terms)),
                    f"Weighted terms over the steps: {names}",
                ),
                class_="plots",
            ),
            facts(_costs(lines)),
        ]
    )


def _term(lines: list[dict[str, Any]], name: str) -> list[float]:
    return [line["terms"][name]["weighted"] for line in lines if name in line["terms"]]


def _costs(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    seconds = sum(line["seconds"] for line in lines)
    return [
        ("steps", str(lines[-1]["step"])),
        ("time", f"{seconds:.0f} s, {seconds / len(lines):.2f} s a step"),
        ("peak memory", f"{max(line['peak_memory_mib'] for line in lines):,.0f} MiB"),
    ]
