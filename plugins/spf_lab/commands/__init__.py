"""The commands of the lab. They import heavy packages inside functions, so that help stays fast."""

import typer

from spf_core.plugins import hookimpl
from spf_lab.commands import (
    attention,
    benchmark,
    calibrate,
    compare,
    continual,
    convert,
    demo,
    evaluate,
    maps,
    report,
    score,
    study,
)


@hookimpl
def spf_register_commands(app: typer.Typer) -> None:
    """Add the commands that measure, compare and show."""
    app.command("demo", rich_help_panel="Start here")(demo.demo)
    app.command("evaluate", rich_help_panel="Train, sample, measure")(evaluate.evaluate)
    app.command("score", rich_help_panel="Train, sample, measure")(score.score)
    app.command("compare", rich_help_panel="Train, sample, measure")(compare.compare)
    app.command("calibrate", rich_help_panel="Train, sample, measure")(calibrate.calibrate)
    app.command("benchmark", rich_help_panel="Train, sample, measure")(benchmark.benchmark)
    app.command("continual", rich_help_panel="Train, sample, measure")(continual.continual)
    app.command("maps", rich_help_panel="Train, sample, measure")(maps.maps)
    app.add_typer(study.app, name="study", rich_help_panel="Train, sample, measure")
    app.command("report", rich_help_panel="Inspect and prepare")(report.report)
    app.command("attention", rich_help_panel="Inspect and prepare")(attention.attention)
    app.command("convert-weights", rich_help_panel="Inspect and prepare")(convert.convert_weights)
