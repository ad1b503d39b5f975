"""Progress bars on a terminal, a line every tenth elsewhere: both listen by the Progress protocol."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from spf_cli.render import console
from spf_core.utils.progress import Progress as Listener


@contextmanager
def progress_bars(*, transient: bool = False) -> Iterator[Listener]:
    """Yield a listener that draws bars on stderr, or prints lines where stderr is not a terminal.

    `transient` bars vanish at the end.
    """
    target = console(stderr=True)
    if not target.is_terminal:
        yield Lines(target)
        return
    with Bars(target, transient=transient) as bars:
        yield bars


def prefixed(listener: Listener, prefix: str) -> Listener:
    """A listener whose stages carry a name in front, to tell several runs apart."""

    def report(stage: str, done: int, total: int, **values: float) -> None:
        listener(f"{prefix}: {stage}", done, total, **values)

    return report


class Bars(Progress):
    """One bar for each stage with the time left, and the newest values on a line below."""

    def __init__(self, target: Console, *, transient: bool = False) -> None:
        columns = (
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._stages: dict[str, TaskID] = {}
        self._values = ""
        super().__init__(*columns, console=target, transient=transient)

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """Move the bar of `stage`; a stage that starts again gets a fresh bar."""
        task = self._stages.get(stage)
        if task is None or self.tasks[task].completed > done:
            task = self._stages[stage] = self.add_task(stage, total=total, completed=done)
        self._values = format_values(values)
        self.update(task, completed=done, total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and the values below them."""
        yield self.make_tasks_table(self.tasks)
        if self._values:
            yield Text(self._values, style="dim")


@dataclass
class _Pace:
    started: float
    first: int
    tenth: int


class Lines:
    """A line for each tenth of a stage."""

    def __init__(self, target: Console) -> None:
        self._console = target
        self._paces: dict[str, _Pace] = {}

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """Print when another tenth of `stage` is done."""
        tenth = 10 * done // max(total, 1)
        pace = self._paces.get(stage)
        if pace is None or done < pace.first:
            pace = self._paces[stage] = _Pace(time.monotonic(), done, 10 * max(done - 1, 0) // max(total, 1))
        if tenth > pace.tenth:
            pace.tenth = tenth
            parts = [f"{stage} {done}/{total}", format_values(values), _time_left(pace, done, total)]
            self._console.print(Text("  ".join(part for part in parts if part)), soft_wrap=True)


def format_values(values: Mapping[str, float]) -> str:
    """Loss terms and other values on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def _time_left(pace: _Pace, done: int, total: int) -> str:
    if done <= pace.first or done >= total:
        return ""
    seconds = (time.monotonic() - pace.started) / (done - pace.first) * (total - done)
    return f"{timedelta(seconds=round(seconds))} left"
