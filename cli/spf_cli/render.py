"""What the terminal shows: notes, tables and the YAML of settings."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spf_core.errors import printable
from spf_core.utils.distributed import prints_messages
from spf_core.utils.interrupts import end_at_once_on_sigterm

if TYPE_CHECKING:
    from spf.showing import Table as ResultTable

PIPE_WIDTH = 200
LONGEST = 1200  # characters of a note; what it quotes is cut before, in most of them
PATIENCE = 30.0
FOLDED = 32  # characters of a word that a column keeps whole


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
    """A plain table; the first column stands out, cells are shown literally, `Text` with its style.

    Lines break between words. Where the terminal is too narrow for that, each row becomes a block of lines,
    one for each column.
    """
    cells = [[each if isinstance(each, Text) else Text(printable(str(each))) for each in row] for row in rows]
    widths = _widths([[Text(column) for column in columns], *cells])
    blocks = widths is None
    if widths is None:
        columns, cells = ("", ""), [line for row in cells for line in _block(columns, row)]
        widths = [max([1, *(name.cell_len for name, _ in cells)]), None]
    result = Table(title=printable(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    result.show_header = not blocks
    for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
        style = "cyan" if number == 0 else ""
        result.add_column(column, header_style="dim", style=style, overflow="fold", width=width)
    for row in cells:
        result.add_row(*row)
    return result


def as_table(result: "ResultTable") -> Table:
    """The table of a result of the package `spf`."""
    return table(result.title, result.columns, result.rows)


def _widths(rows: Sequence[Sequence[Text]]) -> list[int | None] | None:
    """Widths of the columns that fit the terminal and break no word; None where there are none.

    A word of more than FOLDED characters, a path perhaps, may be broken. What is left goes to the narrowest
    columns first, until their longest cell fits: names and values then stay on one line.
    """
    columns = list(zip(*rows, strict=True))
    widest = [max(cell.cell_len for cell in column) for column in columns]
    words = [[length for cell in column for length in _word_lengths(cell.plain)] for column in columns]
    found = [min(max([1, *lengths]), FOLDED) for lengths in words]
    spare = console().width - sum(found) - 2 * len(found)
    if spare < 0:
        return None
    while spare and (open_ := [number for number, width in enumerate(found) if width < widest[number]]):
        found[min(open_, key=lambda number: found[number])] += 1
        spare -= 1
    return list(found)


def _word_lengths(text: str) -> list[int]:
    """How wide each word of a cell is; an indentation belongs to the first."""
    indentation = len(text) - len(text.lstrip())
    words = [Text(word).cell_len for word in text.split()]
    return [words[0] + indentation, *words[1:]] if words else []


def _block(columns: Sequence[str], row: Sequence[Text]) -> list[list[Text]]:
    """A row as lines of the column's name and the cell, without the empty ones, and a line below."""
    lines = [[Text(name), cell] for name, cell in zip(columns, row, strict=True) if cell.plain]
    return [*lines, [Text(), Text()]]


def show(*renderables: Any) -> None:
    """Print to stdout."""
    console().print(*renderables, sep="\n")


def say(line: str = "") -> None:
    """Print one line to stdout, never wrapped; what a terminal would obey is escaped."""
    typer.echo(printable(line))
