"""Hooks for spf. spf imports this module at every start, so it is free of torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.plugins import Facts, Paragraph, ReportSection, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Fit

RECORD = "new-thing.txt"  # in the run folder: lines of a step and a weight


@hookimpl
def spf_after_step(fit: "Fit") -> None:
    """Note the largest weight of the adapter after each step, also for the run's trackers."""
    from spf_cli.templates.hooks.weights import largest_weight

    largest = largest_weight(fit.adapter)
    fit.track({"new-thing": largest}, {})
    with (fit.run / RECORD).open("a", encoding="utf-8") as file:
        file.write(f"{fit.step} {largest:.6g}\n")


@hookimpl
def spf_report_sections(run: Path) -> list[ReportSection]:
    """Show on the page of `spf report` how far the weights grew."""
    if not (run / RECORD).is_file():
        return []  # the run trained without this package
    lines = [line.split() for line in (run / RECORD).read_text(encoding="utf-8").splitlines()]
    by_step = {int(step): float(largest) for step, largest in lines}  # a resumed run repeats some steps
    first, last = min(by_step), max(by_step)
    blocks = [
        Paragraph("The largest weight of the adapter. If it keeps growing, try a lower learning rate."),
        Facts([(f"step {step}", f"{by_step[step]:.3g}") for step in (first, last)]),
    ]
    return [ReportSection("new-thing", "Largest weight", blocks)]
