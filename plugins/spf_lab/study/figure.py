"""The figure of a study: log-strengths with intervals, one panel per question."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spf_lab.study.report import TITLES

_DPI = 150


def draw_strengths(results: Mapping[str, Any], path: Path) -> None:
    """Draw a dot with its 95 % interval for each method into a PNG; simulated votes are marked as such."""
    from matplotlib.figure import Figure

    methods = results["methods"][::-1]
    figure = Figure(figsize=(7, 3 * (0.34 * len(methods) + 0.55) + 0.8), layout="constrained")
    panels = figure.subplots(len(TITLES), 1, sharex=True)
    for axis, (question, title) in zip(panels, TITLES.items(), strict=True):
        found = results["questions"][question]
        for place, name in enumerate(methods if found else ()):
            strength = found["strengths"][name]
            axis.plot(strength["ci"], [place, place], color="#888888", linewidth=2, solid_capstyle="butt")
            axis.plot(strength["value"], place, "o", color="#111111", markersize=5)
        axis.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
        axis.set_yticks(range(len(methods)), methods)
        axis.set_ylim(-0.6, len(methods) - 0.4)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title(title, loc="left", fontsize=10)
        if results["simulated"]:
            mark = axis.text(0.5, 0.5, results["label"], ha="center", va="center", transform=axis.transAxes)
            mark.set(fontsize=22, color="#b00020", alpha=0.35)
    panels[-1].set_xlabel("log-strength (Bradley-Terry), 95 % intervals")
    figure.suptitle(results["suite_label"], fontsize=11)
    figure.savefig(path, format="png", dpi=_DPI)
