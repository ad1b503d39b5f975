"""Messages of commands whose work several processes share: failures, missing parts, how to continue."""

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

import typer

from spf_cli.options import OUTPUT
from spf_core.errors import InterruptedRunError, RunError

if TYPE_CHECKING:
    from spf_core.utils.progress import Progress
    from spf_lab.benchmark.sharing import Pass


class Named(Protocol):
    """A unit of work."""

    @property
    def name(self) -> str:
        """How it is called on screen."""


Unit = TypeVar("Unit", bound=Named)
Everything = Annotated[
    Path, typer.Option(metavar="DIR", help="Folder for all runs, results and tables.", rich_help_panel=OUTPUT)
]


def bars_then_line(
    say_finished: Callable[[Unit, float], None],
) -> "Callable[[Unit], AbstractContextManager[Progress]]":
    """Show bars while a unit of work runs, then call `say_finished` with its seconds."""
    from spf.bars import prefixed, progress_bars

    @contextmanager
    def watch(unit: Unit) -> "Iterator[Progress]":
        started = time.monotonic()
        with progress_bars(transient=True) as progress:
            yield prefixed(progress, unit.name)
        say_finished(unit, time.monotonic() - started)

    return watch


def command_line(name: str, file: Path, out: Path, plugins: Sequence[Path]) -> str:
    """The command that continues, with the plugin files that the user allowed."""
    allowed = [word for each in plugins for word in ("--plugin", str(each))]
    return shlex.join(["spf", name, str(file), "--out", str(out), *allowed])


def finished(
    work: "Callable[[], Pass[Unit]]", missing: Callable[[], Sequence[Unit]], what: str, command: str
) -> bool:
    """Do this process's share of the work; whether every unit is finished now, else it is said how to go on.

    `what` names one unit. InterruptedRunError, which says how to continue, when Ctrl-C or SIGTERM ends the
    work; RunError of the first unit that failed.
    """
    from spf_cli.render import say

    try:
        outcome = work()
    except (InterruptedRunError, KeyboardInterrupt):
        raise InterruptedRunError(f"interrupted; finished parts are kept. Continue with: {command}") from None
    _refuse_failures(outcome, what)
    if not (left := missing()):
        return True
    for unit, process in outcome.elsewhere.items():
        say(f"{process} works on {unit.name}")
    say(f"{what}s not finished: {len(left)}; spf writes the tables when all are finished")
    say(f"continue with: {command}")
    return False


def _refuse_failures(outcome: "Pass[Unit]", what: str) -> None:
    """RunError of the first unit that failed, and how many others did."""
    if outcome.failed:
        unit, error = next(iter(outcome.failed.items()))
        others = f" ({len(outcome.failed) - 1} more {what}s failed)" if len(outcome.failed) > 1 else ""
        raise RunError(f"{what} {unit.name}: {error}{others}")
