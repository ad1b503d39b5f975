"""`spf continual`: train several targets in sequence, from one file to tables."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import Device, DeviceName, PluginFiles
from spf_lab.commands.sharing import Everything, bars_then_line, command_line, finished

if TYPE_CHECKING:
    from spf_lab.continual.plan import Stage
    from spf_lab.continual.spec import ContinualSpec


def continual(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", help="The file of the continual benchmark: targets, orders and presets."
        ),
    ],
    out: Everything,
    only: Annotated[
        str | None,
        typer.Option(metavar="PRESET/order-N", help="Run only these sequences. [cyan]*[/] matches anything."),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Rebuild the tables from the finished sequences.")
    ] = False,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
) -> None:
    """Train several targets in sequence, in several orders, and measure forgetting and pollution.

    To continue an interrupted benchmark, run the command again. You can run it several times at once, also on
    several machines that share the folder: each process takes sequences that no other works on.
    """
    from spf.loading import load_plugins, permitted
    from spf_lab.benchmark.folder import open_folder
    from spf_lab.benchmark.plan import build_suite
    from spf_lab.continual.runner import CONTINUAL, missing_sequences, run_continual
    from spf_lab.continual.spec import read_continual

    spec = read_continual(file)
    given = plugin or ()
    plugins = load_plugins([*given, *permitted(file, given, needed=True)])
    if report_only:
        build_suite(spec.as_benchmark(), plugins)
        open_folder(out, spec, create=False, kind=CONTINUAL)
    else:
        watch = bars_then_line(partial(_say_finished, out=out))
        work = partial(run_continual, spec, out, plugins, watch=watch, device=device, only=only)
        missing = partial(missing_sequences, spec, out)
        if not finished(work, missing, "sequence", command_line("continual", file, out, given)):
            return
    _report(spec, out)


def _say_finished(stage: "Stage", seconds: float, *, out: Path) -> None:
    """The newest target and, from the second stage on, the first one."""
    from spf.measuring import Evaluation
    from spf_cli.render import show
    from spf_lab.evaluation.readout import number

    learned = stage.sequence.order[: stage.number]
    found = {name: Evaluation(stage.evaluation(out, name)).results for name in (learned[0], learned[-1])}
    shown_scores = [f"REC {number(found[learned[0]]['rec']['value'])}"]
    for name, results in found.items():
        scores = (("E", "effect"), ("SPI", "spi"), ("hit", "hit_rate"))
        shown_scores.append(
            f"{name}: " + " ".join(f"{title} {number(results[key]['value'])}" for title, key in scores)
        )
    show("  ".join([stage.name, *shown_scores, str(timedelta(seconds=round(seconds)))]))


def _report(spec: "ContinualSpec", out: Path) -> None:
    from spf_cli.render import show, table
    from spf_lab.continual.page import REPORT_FILE, growth_table, summary_table
    from spf_lab.continual.report import write_report

    results = write_report(spec, out)
    (head, rows), (slopes, growth) = summary_table(results["presets"]), growth_table(results["presets"])
    shown = head[:4], [row[:4] for row in rows]
    show(
        table(f"{results['suite_label']}, 95 % intervals, ± s.d. over orders", *_plain(*shown)),
        table("pollution growth per stage", *_plain(slopes, growth)),
        f"report: {out / REPORT_FILE}",
    )


def _plain(head: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """A Markdown table without its marks."""
    return head, [[cell.replace("**", "") for cell in row] for row in rows]
