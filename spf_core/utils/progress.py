"""How long work reports itself: one call per unit done. The command line draws bars from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """A listener that is told after each unit of work."""

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """`done` of `total` units of `stage` are finished; `values` are worth showing (loss terms).

        A stage whose first unit takes long also reports that none is done yet.
        """


@dataclass(frozen=True)
class PlannedStage:
    """A stage that will report itself under `name`: its number of units, and what one is.

    `passes` are the forward passes of the denoiser that a unit costs, counted by rows; 0 where it takes none.
    A backward pass counts as two. Finished units that are `kept` are read from disk by the next run.
    """

    name: str
    units: int
    unit: str
    passes: float = 0.0
    kept: bool = False


@runtime_checkable
class ShowsPlan(Protocol):
    """A listener that also shows which stages are still to come."""

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """These stages follow; those of an earlier plan are over."""


def announce(listener: Progress, stages: Sequence[PlannedStage]) -> None:
    """Tell a listener that shows plans which stages follow."""
    if isinstance(listener, ShowsPlan):
        listener.planned(stages)


def silent(stage: str, done: int, total: int, **values: float) -> None:
    """Report nothing."""
