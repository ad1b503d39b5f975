"""How functions show their progress: bars in a terminal or a notebook, nothing, or as the caller likes."""

import html
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from spf.bars import clock, format_values, progress_bars
from spf_core.training.resources.pace import Pace, Paces
from spf_core.utils.progress import PlannedStage, Progress, silent

Shown = bool | Progress
EVERY = 0.25  # seconds between two pictures of the bars; a notebook keeps all that it is sent


@contextmanager
def showing(progress: Shown) -> Iterator[Progress]:
    """Yield the listener: bars for True, silence for False, and a listener of the caller as it is."""
    if progress is False:
        yield silent
    elif progress is not True:
        yield progress
    elif in_notebook():
        notebook = NotebookBars()
        yield notebook
        notebook.draw()
    else:
        with progress_bars() as bars:
            yield bars


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, and not a terminal or a script."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


if in_notebook():
    # tqdm, which libraries import, asks for widgets there; these bars need none.
    warnings.filterwarnings("ignore", message="IProgress not found")


class NotebookBars:
    """A table of stages with bars, redrawn in its place below the cell; it needs no widgets."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html = HTML
        self._paces, self._values = Paces(), ""
        self._stages: list[tuple[str, Pace]] = []
        self._drawn = 0.0
        self._handle: Any = display(HTML(""), display_id=True)

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """These stages follow; the bars of others stay as they are."""
        self._paces.planned(stages)

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """Move the bar of `stage`."""
        pace = self._paces.report(stage, done, total)
        if all(pace is not known for _, known in self._stages):  # a stage that starts again gets a fresh bar
            self._stages.append((self._paces.title(stage), pace))
        self._values = format_values(values)
        if time.monotonic() - self._drawn > EVERY:
            self.draw()

    def draw(self) -> None:
        """Show all bars as they are now."""
        self._drawn = time.monotonic()
        rows = "".join(self._row(title, pace) for title, pace in self._stages)
        left = self._paces.left_in_all()
        below = [self._values, f"about {clock(left)} left in all" if left else ""]
        lines = "".join(f"<div style='opacity:0.7'>{html.escape(line)}</div>" for line in below if line)
        self._handle.update(self._html(f"<table>{rows}</table>{lines}"))

    def _row(self, title: str, pace: Pace) -> str:
        left = None if pace.finished else self._paces.left(pace)
        told = clock(pace.spent) if left is None else f"{clock(left)} left"
        cells = (
            html.escape(title),
            f"<progress value='{pace.done}' max='{max(pace.total, 1)}'></progress>",
            f"{pace.done}/{pace.total}",
            told,
        )
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
