"""Progress bars on a terminal, a line every tenth elsewhere: both listen by the Progress protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from spf_core.training.resources.pace import Pace, Paces
from spf_core.utils.progress import PlannedStage, announce
from spf_core.utils.progress import Progress as Listener

ROOM_FOR_BARS = 80  # characters; where there are fewer, names and numbers come first


@contextmanager
def progress_bars(*, transient: bool = False) -> Iterator[Listener]:
    """Yield a listener that draws bars on stderr, or prints lines where stderr is not a terminal.

    `transient` bars vanish at the end.
    """
    # Names are shown as they are: a `[bold]` or a `:smile:` in one is no markup.
    target = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if not target.is_terminal:
        yield Lines(target)
        return
    with Bars(target, transient=transient) as bars:
        yield bars


def prefixed(listener: Listener, prefix: str) -> Listener:
    """A listener whose stages carry a name in front, to tell several runs apart."""
    return _Prefixed(listener, prefix)


class _Prefixed:
    def __init__(self, listener: Listener, prefix: str) -> None:
        self._listener, self._prefix = listener, prefix

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        self._listener(f"{self._prefix}: {stage}", done, total, **values)

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        named = [replace(stage, name=f"{self._prefix}: {stage.name}") for stage in stages]
        announce(self._listener, named)


def when_planned(listener: Listener, tell: Callable[[], None]) -> Listener:
    """A listener that also calls `tell` when work is planned: by then data and model were found sound."""
    return _WhenPlanned(listener, tell)


class _WhenPlanned:
    def __init__(self, listener: Listener, tell: Callable[[], None]) -> None:
        self._listener, self._tell = listener, tell

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        self._listener(stage, done, total, **values)

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        self._tell()
        announce(self._listener, stages)


class _Time(ProgressColumn):
    """What a stage took, or how long it lasts and still takes."""

    def __init__(self, paces: Paces) -> None:
        super().__init__()
        self._paces = paces

    def render(self, task: Task) -> Text:
        pace: Pace = task.fields["pace"]
        if pace.finished:
            return Text(clock(pace.spent), style="progress.elapsed")
        left = self._paces.left(pace)
        told = clock(task.elapsed or 0) if left is None else f"{clock(left)} left"
        return Text(told, style="progress.remaining")


class Bars(Progress):
    """One bar for each stage with the time left; below, the newest values and the time left in all."""

    def __init__(self, target: Console, *, transient: bool = False) -> None:
        self._paces = Paces()
        columns = (
            TextColumn("{task.description}", style="bold", markup=False),
            *([BarColumn(bar_width=20)] if target.width >= ROOM_FOR_BARS else []),
            MofNCompleteColumn(),
            _Time(self._paces),
        )
        self._stages: dict[str, tuple[Pace, TaskID]] = {}
        self._values = ""
        super().__init__(*columns, console=target, transient=transient)

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """These stages follow; the bars of others stay as they are."""
        self._paces.planned(stages)

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """Move the bar of `stage`; a stage that starts again gets a fresh bar, unless a plan has it."""
        pace = self._paces.report(stage, done, total)
        known, task = self._stages.get(stage, (None, TaskID(0)))
        if known is not pace:
            task = self.add_task(self._paces.title(stage), total=pace.total, completed=pace.done, pace=pace)
            self._stages[stage] = pace, task
        self._values = format_values(values)
        self.update(task, completed=pace.done, total=pace.total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, and below them the values and the time left in all."""
        yield self.make_tasks_table(self.tasks)
        if self._values:
            yield Text(self._values, style="dim")
        if left := self._paces.left_in_all():
            yield Text(f"about {clock(left)} left in all", style="dim")


class Lines:
    """A line when a planned stage begins, and one for each tenth of a stage."""

    def __init__(self, target: Console) -> None:
        self._console = target
        self._paces = Paces()
        self._tenths: dict[str, tuple[Pace, int]] = {}

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """These stages follow."""
        self._paces.planned(stages)

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """Print when another tenth of `stage` is done."""
        pace = self._paces.report(stage, done, total)
        tenth = 10 * pace.done // max(pace.total, 1)
        known, before = self._tenths.get(stage, (None, 0))
        if known is not pace:
            begins = pace.planned and not pace.done
            before = -1 if begins else 10 * max(pace.done - 1, 0) // max(pace.total, 1)
        if tenth > before:
            parts = [f"{self._paces.title(stage)} {pace.done}/{pace.total}", format_values(values)]
            self._console.print(Text("  ".join(filter(None, [*parts, self._left(pace)]))), soft_wrap=True)
        self._tenths[stage] = pace, max(tenth, before)

    def _left(self, pace: Pace) -> str:
        left, in_all = self._paces.left(pace), self._paces.left_in_all()
        told = [f"{clock(left)} left"] if left else []
        return ", ".join([*told, f"about {clock(in_all)} in all"] if in_all else told)


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    return f"{timedelta(seconds=round(seconds))}"


def format_values(values: Mapping[str, float]) -> str:
    """Loss terms and other values on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
