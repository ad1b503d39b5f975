"""Ctrl-C between steps: what a step has half done would be saved with a checkpoint."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from spf_core.errors import InterruptedRunError


class Interrupts:
    """Ctrl-C, held back while a step runs.

    A second one raises at once; where several processes must `agree` to stop it does not, as a launcher may
    send several.
    """

    def __init__(self, *, agree: bool = False) -> None:
        self.agree = agree
        self.pressed = self.agreed = False

    @contextmanager
    def held(self, *, when: bool = True) -> Iterator[None]:
        """Within the context Ctrl-C is noted; elsewhere than in the main thread nothing is held."""
        if not when or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def give_way(self) -> None:
        """Raise KeyboardInterrupt when a step is done and was interrupted, in all processes or in none."""
        if self.agreed if self.agree else self.pressed:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pressed and not self.agree:
            raise KeyboardInterrupt
        self.pressed = True


@contextmanager
def saved_when_interrupted(save: Callable[[], int], run: Path) -> Iterator[None]:
    """Ctrl-C within the context saves, which returns the step, and raises InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; step {save()} is saved. Continue with: spf train --resume --out {run}"
        ) from None
