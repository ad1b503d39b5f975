"""The groups and commands of `spf`. They import core and torch inside functions, so that help stays fast."""

import logging
import sys
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Annotated

import typer

import spf  # noqa: F401 - it keeps the libraries that it uses quiet
from spf_cli import config, data, export, plugins, sample, train
from spf_cli.doctor import command as doctor
from spf_cli.faults import INTERRUPTED, tolerant_streams
from spf_cli.options import at_home, runs_in_a_group, show_help
from spf_core.errors import ConfigError
from spf_core.plugins.containment import forget_used
from spf_core.plugins.discovery import COMMANDS, add_commands, warn_of
from spf_core.plugins.imports import failing_once
from spf_core.plugins.providers import Provider
from spf_core.utils.distributed import world_size


def build_app() -> typer.Typer:
    """The command line: spf's own commands, then those that installed plugins add."""
    app = typer.Typer(
        name="spf",
        help="Fine-tune [bold]one portrait attribute[/] into a text-to-image model, and keep "
        "everything else as it is.",
        epilog="Start with [bold cyan]spf demo[/]. It takes about ten minutes, and needs no GPU "
        "and no downloads.",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command("doctor", rich_help_panel="Start here")(doctor.doctor)
    app.command("train", rich_help_panel="Train, sample, measure")(train.train)
    app.command("sample", rich_help_panel="Train, sample, measure")(sample.sample)
    app.command("export", rich_help_panel="Train, sample, measure")(export.export)
    app.command("push", rich_help_panel="Train, sample, measure")(export.push)
    app.add_typer(data.app, name="data", rich_help_panel="Inspect and prepare")
    app.add_typer(plugins.app, name="plugins", rich_help_panel="Inspect and prepare")
    app.add_typer(config.app, name="config", rich_help_panel="Inspect and prepare")
    providers, broken = add_commands(app)
    warn_of(broken)
    for command in _commands(app):
        if command.callback:
            command.help = command.help or _in_paragraphs(command.callback.__doc__)
            command.callback = at_home(command.callback)
    _add_root(app, providers)
    return app


def _commands(app: typer.Typer) -> Iterator[typer.models.CommandInfo]:
    """Every command of the app and of its groups."""
    yield from app.registered_commands
    for group in app.registered_groups:
        if group.typer_instance:
            yield from _commands(group.typer_instance)


def _in_paragraphs(docstring: str | None) -> str:
    """The docstring with a line for each paragraph: the terminal's width breaks lines, and not the source."""
    return "\n\n".join(" ".join(each.split()) for each in cleandoc(docstring or "").split("\n\n"))


def _print_version(wanted: bool) -> None:
    if wanted:
        from spf_cli.doctor.versions import report

        typer.echo("\n".join(report()))
        raise typer.Exit


def _add_root(app: typer.Typer, providers: Sequence[Provider]) -> None:
    """Let a launcher start several processes only for commands that work in a group.

    Every command finds the plugins that bring commands in its context.
    """
    grouped = [each.name for each in app.registered_commands if runs_in_a_group(each.callback)]

    @app.callback(invoke_without_command=True)
    def root(
        ctx: typer.Context,
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=_print_version,
                is_eager=True,
                help="Print the versions of spf, its libraries and other packages with plugins.",
            ),
        ] = False,
    ) -> None:
        if world_size() > 1 and ctx.invoked_subcommand not in grouped:
            raise ConfigError(
                f"torchrun and accelerate launch are for spf {' and '.join(map(str, grouped))}, not for spf "
                f"{ctx.invoked_subcommand or '--help'}; start it without them (spf benchmark: as many times "
                "as there are processes)"
            )
        ctx.meta[COMMANDS] = providers
        show_help(ctx)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    tolerant_streams()
    forget_used()
    logging.getLogger("spf").handlers = [_Notes()]
    logging.getLogger("spf").setLevel(logging.INFO)
    with failing_once():
        code = build_app()(args=argv, prog_name="spf", standalone_mode=False) or 0
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    sys.stdout.flush()
    return int(code)


class _Notes(logging.Handler):
    """Shows each message of the core's log as one line, once in a command, like all notes.

    Records with the same `fact` say the same, whatever their texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown: set[object] = set()

    def emit(self, record: logging.LogRecord) -> None:
        from spf_cli.render import note

        message = record.getMessage()
        fact = getattr(record, "fact", message)
        if fact not in self._shown:
            self._shown.add(fact)
            info = record.levelno == logging.INFO
            label = str(getattr(record, "label", "note" if info else record.levelname.lower()))
            note(label, "cyan" if info else "yellow", message)
