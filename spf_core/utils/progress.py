"""How long work reports itself: one call per unit done. The command line draws bars from it."""

from typing import Protocol


class Progress(Protocol):
    """A listener that is told after each unit of work."""

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """`done` of `total` units of `stage` are finished; `values` are worth showing (loss terms)."""


def silent(stage: str, done: int, total: int, **values: float) -> None:
    """Report nothing."""
