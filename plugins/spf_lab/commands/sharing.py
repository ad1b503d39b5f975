"""Messages of commands whose work several processes share: failures, missing parts, how to continue."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from spf_core.utils.progress import Progress
    from spf_lab.benchmark.sharing import Pass


class Named(Protocol):
    """A unit of work."""

    @property
    def name(self) -> str:
        """How it is called on screen."""


Unit = TypeVar("Unit", bound=Named)
Result = TypeVar("Result")


def bars_then_line(
    say_finished: Callable[[Unit, float], None],
) -> "Callable[[Unit], AbstractContextManager[Progress]]":
    """Show bars while a unit of work runs, then call `say_finished` with its seconds."""
    from spf_cli.bars import prefixed, progress_bars

    @contextmanager
    def watch(unit: Unit) -> "Iterator[Progress]":
        started = time.monotonic()
        with progress_bars(transient=True) as progress:
            yield prefixed(progress, unit.name)
        say_finished(unit, time.monotonic() - started)

    return watch


def interruptible(work: Callable[[], Result], command: str) -> Result:
    """Do the work; InterruptedRunError that says how to continue when Ctrl-C or SIGTERM ends it."""
    from spf_core.errors import InterruptedRunError

    try:
        return work()
    except (InterruptedRunError, KeyboardInterrupt):
        raise InterruptedRunError(f"interrupted; finished parts are kept. Continue with: {command}") from None


def refuse_failures(outcome: "Pass[Unit]", what: str) -> None:
    """RunError of the first unit that failed, and how many others did; `what` names one unit."""
    from spf_core.errors import RunError

    if outcome.failed:
        unit, error = next(iter(outcome.failed.items()))
        others = f" ({len(outcome.failed) - 1} more {what}s failed)" if len(outcome.failed) > 1 else ""
        raise RunError(f"{what} {unit.name}: {error}{others}")


def say_what_is_missing(outcome: "Pass[Unit]", missing: Sequence[Unit], what: str, command: str) -> None:
    """Say which processes work on which units, how many are not finished, and how to continue."""
    from spf_cli.render import say

    for unit, process in outcome.elsewhere.items():
        say(f"{process} works on {unit.name}")
    say(f"{what}s not finished: {len(missing)}; spf writes the tables when all are finished")
    say(f"continue with: {command}")
