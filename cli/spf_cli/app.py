"""The groups and commands of `spf`. They import core and torch inside functions, so that help stays fast."""

import logging
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from spf_cli import (
    attention,
    benchmark,
    calibrate,
    config,
    continual,
    convert,
    data,
    demo,
    doctor,
    evaluate,
    export,
    maps,
    plugins,
    report,
    sample,
    study,
    train,
)
from spf_cli.faults import INTERRUPTED, tolerant_streams
from spf_cli.options import at_home, show_help
from spf_core.errors import ConfigError
from spf_core.utils.distributed import world_size

_TOGETHER = ("train", "evaluate")  # what several processes of a launcher do as one

app = typer.Typer(
    name="spf",
    help="Fine-tune [bold]one portrait attribute[/] into a text-to-image model, and nothing else.",
    epilog="Start with [bold cyan]spf demo[/]: about ten minutes, no GPU, no downloads.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", rich_help_panel="Start here")(demo.demo)
app.command("doctor", rich_help_panel="Start here")(doctor.doctor)
app.command("train", rich_help_panel="Work")(train.train)
app.command("sample", rich_help_panel="Work")(sample.sample)
app.command("evaluate", rich_help_panel="Work")(evaluate.evaluate)
app.command("calibrate", rich_help_panel="Work")(calibrate.calibrate)
app.command("export", rich_help_panel="Work")(export.export)
app.command("push", rich_help_panel="Work")(export.push)
app.command("benchmark", rich_help_panel="Work")(benchmark.benchmark)
app.command("continual", rich_help_panel="Work")(continual.continual)
app.command("maps", rich_help_panel="Work")(maps.maps)
app.command("convert-weights", rich_help_panel="Look and prepare")(convert.convert_weights)
app.add_typer(study.app, name="study", rich_help_panel="Work")
app.command("report", rich_help_panel="Look and prepare")(report.report)
app.command("attention", rich_help_panel="Look and prepare")(attention.attention)
app.add_typer(data.app, name="data", rich_help_panel="Look and prepare")
app.add_typer(plugins.app, name="plugins", rich_help_panel="Look and prepare")
app.add_typer(config.app, name="config", rich_help_panel="Look and prepare")


for _group in (app, *(each.typer_instance for each in app.registered_groups)):
    for _command in _group.registered_commands if _group else ():
        _command.callback = at_home(_command.callback) if _command.callback else None


def _print_version(wanted: bool) -> None:
    if wanted:
        from spf_core import __version__

        typer.echo(f"spf {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    _refuse_launcher(ctx.invoked_subcommand)
    show_help(ctx)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    tolerant_streams()
    logging.getLogger("spf").handlers = [_Notes()]
    logging.getLogger("spf").setLevel(logging.INFO)
    code = app(args=argv, prog_name="spf", standalone_mode=False) or 0
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    sys.stdout.flush()
    return int(code)


def _refuse_launcher(command: str | None) -> None:
    """ConfigError when a launcher starts several processes of what is no work for them together."""
    if world_size() > 1 and command not in _TOGETHER:
        raise ConfigError(
            f"torchrun and accelerate launch are for spf {' and '.join(_TOGETHER)}, not for spf "
            f"{command or '--help'}; start it without them (spf benchmark: as many times as there are "
            "processes)"
        )


class _Notes(logging.Handler):
    """Shows what the core logs as one line each, once in a command, in the manner of all notes."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        from spf_cli.render import note

        message = record.getMessage()
        if message not in self._shown:
            self._shown.add(message)
            label = "note" if record.levelno == logging.INFO else record.levelname.lower()
            note(label, "cyan" if label == "note" else "yellow", message)
