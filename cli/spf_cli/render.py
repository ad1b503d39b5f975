"""What the terminal shows: notes, tables and the YAML of settings."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spf_core.errors import printable
from spf_core.utils.distributed import prints_messages
from spf_core.utils.interrupts import end_at_once_on_sigterm

PIPE_WIDTH = 200
LONGEST = 1200  # characters of a note; what it quotes is cut before, in most of them
PATIENCE = 30.0


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; wide when piped, so that lines stay whole for grep.

    It shows text as it is: a `[bold]` or a `:smile:` in a name is no markup.
    """
    stream = sys.stderr if stderr else sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    width = PIPE_WIDTH if piped else None
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def note(label: str, colour: str, message: str) -> None:
    """Print `label: message` as one line on stderr, never wrapped; one process on each machine does."""
    if prints_messages():
        _line(label, colour, message)


def fault(message: str) -> None:
    """Print `error: message` like a note.

    A process that does not speak first leaves the word, for PATIENCE seconds, to the one on its machine that
    does: the launcher ends them all as soon as one ends.
    """
    if not prints_messages():
        end_at_once_on_sigterm()
        with suppress(KeyboardInterrupt):
            time.sleep(PATIENCE)
    _line("error", "red", message)


def _line(label: str, colour: str, message: str) -> None:
    line = Text.assemble((f"{label}: ", f"bold {colour}"), _bounded(printable(" ".join(message.split()))))
    console(stderr=True).print(line, soft_wrap=True)


def _bounded(line: str) -> str:
    """The line without its middle where it is endless: the way out stands at its end."""
    left_out = len(line) - LONGEST
    return line if left_out <= 0 else f"{line[: LONGEST - 300]} [{left_out} characters] {line[-300:]}"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A plain table; the first column stands out, cells are shown literally, `Text` with its style."""
    result = Table(title=printable(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        result.add_column(column, header_style="dim", style="cyan" if number == 0 else "", overflow="fold")
    for row in rows:
        result.add_row(*(cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row))
    return result


def show(*renderables: Any) -> None:
    """Print to stdout."""
    console().print(*renderables, sep="\n")


def say(line: str = "") -> None:
    """Print one line to stdout, never wrapped; what a terminal would obey is escaped."""
    typer.echo(printable(line))
