"""`spf benchmark`: presets x targets x training seeds, from one file to tables."""

import shlex
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import OUTPUT, Device, DeviceName, PluginFiles
from spf_lab.commands.sharing import Everything, bars_then_line, command_line, finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spf_core.interfaces import Suite
    from spf_lab.benchmark.plan import Cell
    from spf_lab.benchmark.spec import BenchmarkSpec

ASKED = 20  # finished cells that the estimate is made from, at most


def benchmark(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", help="The benchmark's file: presets, targets and training seeds."
        ),
    ],
    out: Everything,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET/PRESET",
            help="Run only these cells. /seed-N may follow; [cyan]*[/] matches anything.",
        ),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Rebuild the tables from the finished cells.")
    ] = False,
    pack: Annotated[
        bool,
        typer.Option(
            "--pack",
            help="Move finished cells into one small file for each target, to commit or publish: their "
            "records, and the pictures that the page shows.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
) -> None:
    """Train and evaluate each preset on each target, and write tables with confidence intervals.

    Each cell, which is one target, preset and training seed, is a whole training: many cells take days. The
    command first says how many it will run. It keeps finished cells, so to continue an interrupted benchmark,
    run the command again. You can run it several times at once, also on
    several machines that share the folder: each process takes cells that no other works on.
    """
    from spf.loading import load_plugins, permitted
    from spf_lab.benchmark.folder import open_folder
    from spf_lab.benchmark.plan import build_suite
    from spf_lab.benchmark.runner import missing_cells, run_benchmark
    from spf_lab.benchmark.spec import read_benchmark

    spec = read_benchmark(file)
    given = plugin or ()
    plugins = load_plugins([*given, *permitted(file, given, needed=True)])
    suite = build_suite(spec, plugins)
    if report_only:
        open_folder(out, spec, create=False)
    else:
        watch = bars_then_line(partial(_say_finished, out=out))
        work = partial(run_benchmark, spec, out, plugins, watch=watch, device=device, only=only)
        work = partial(work, announce=partial(_say_work, out=out))
        missing = partial(missing_cells, spec, out)
        if not finished(work, missing, "cell", command_line("benchmark", file, out, given)):
            return
    _report(spec, out, suite, pack)


def _say_work(kept: "Sequence[Cell]", todo: "Sequence[Cell]", out: Path) -> None:
    """How many cells there are to run, and how long that takes, as far as finished ones tell."""
    from spf_cli.render import say
    from spf_core.errors import RunError
    from spf_lab.benchmark.record import read_record

    if not todo:
        say(f"all {len(kept)} cells are finished; none is trained again")
        return
    costs = []
    for cell in kept[:: len(kept) // ASKED + 1]:
        with suppress(RunError):  # the tables name what is damaged
            costs.append(read_record(cell, out).cost.total_seconds)
    time = sum(costs) / max(len(costs), 1) * len(todo)
    took = f", in about {timedelta(seconds=round(time))} if one process does it alone" if costs else ""
    now = f"the folder keeps every finished one ({len(kept)} now)"
    say(f"{len(todo)} cells to train and evaluate{took}; {now}")


def _say_finished(cell: "Cell", seconds: float, *, out: Path) -> None:

    from spf_cli.render import show
    from spf_lab.benchmark.record import read_record
    from spf_lab.evaluation.readout import interval

    found = read_record(cell, out).results
    shown = {"SPS": "sps", "hit": "hit_rate", "leak": "base_leak"}
    scores = "  ".join(f"{title} {interval(found[name])}" for title, name in shown.items())
    show(f"{cell.name}  {scores}  {timedelta(seconds=round(seconds))}")


def _report(spec: "BenchmarkSpec", out: Path, suite: "Suite", pack: bool) -> None:
    from spf_cli.render import show, table
    from spf_lab.benchmark.page import REPORT_FILE
    from spf_lab.benchmark.report import write_report
    from spf_lab.evaluation.readout import interval

    results = write_report(spec, out, suite, pack=pack)
    shown = {"SPS": "sps", "E": "effect", "SPI": "spi", "hit": "hit_rate", "leak": "base_leak"}
    rows = [
        (f"{target}/{name}", *(interval(row[measure]) for measure in shown.values()))
        for target, found in results["targets"].items()
        for name, row in found["presets"].items()
    ]
    show(
        table(f"{results['suite_label']}, 95 % intervals", ("", *shown), rows),
        f"report: {out / REPORT_FILE}; as one page: spf report {shlex.quote(str(out))}",
    )
