"""What an interrupted training leaves behind, and how the user continues it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spf_core.errors import InterruptedRunError
from spf_core.plugins.trust import resume_command
from spf_core.utils.interrupts import Interrupts


@contextmanager
def saved_when_interrupted(interrupts: Interrupts, save: Callable[[], int], run: Path) -> Iterator[None]:
    """KeyboardInterrupt within the context saves, which returns the step, and becomes InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        interrupts.ignore()
        raise InterruptedRunError(
            f"interrupted; step {save()} is saved. Continue with: {resume_command(run)}"
        ) from None


@contextmanager
def explain_how_to_continue(run: Path) -> Iterator[None]:
    """KeyboardInterrupt within the context, before or after the steps, becomes InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        begun = (run / "config.yaml").is_file()
        way = resume_command(run) if begun else "the same command; nothing is written yet"
        raise InterruptedRunError(f"interrupted. Continue with: {way}") from None
