"""Ctrl-C and SIGTERM: both end a command once, and neither does inside a step or while a file is written.

A scheduler that takes the machine back sends SIGTERM, so it means the same as Ctrl-C. Torch-free.
"""

import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEATED = 5.0  # seconds after a signal in which another one means the same: a key held down, a second press


class Interrupts:
    """What the process does on Ctrl-C and SIGTERM.

    The first signal raises KeyboardInterrupt, at the end of what is `held`. Those that soon follow it do
    nothing: they would only disturb how the command ends. A later one raises again, as a library may have
    swallowed the first.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._pending = self._ignored = False
        self._agreed: bool | None = None  # None: this process decides alone
        self._holds, self._last = 0, -math.inf

    def ignore(self) -> None:
        """Do nothing on further signals: the command is ending."""
        self._ignored = True

    def agree(self, pressed: Iterable[bool]) -> None:
        """Stop only when one of several processes heard a signal, so that all stop after the same step."""
        self._agreed = any(pressed)

    @contextmanager
    def held(self, *, when: bool = True) -> Iterator[None]:
        """Within the context signals are noted; KeyboardInterrupt is raised at its end."""
        if not when:
            yield
            return
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        stops = self._pending if self._agreed is None else self._agreed
        if stops and not (self._holds or self._ignored):
            self._pending = False
            raise KeyboardInterrupt

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        now = time.monotonic()
        repeated, self._last = now - self._last < REPEATED, now
        self.pressed = True
        if self._holds:
            self._pending = True
        elif not (repeated or self._ignored):
            raise KeyboardInterrupt


_listening: list[Interrupts] = []


@contextmanager
def listening(*, last: bool = False) -> Iterator[Interrupts]:
    """Handle Ctrl-C and SIGTERM within the context; within another such context, as that one does.

    Afterwards they do what they did before; where the process has nothing left to do, as this is its `last`
    work, they do nothing. Only the main thread hears signals.
    """
    if _listening:
        yield _listening[-1]
        return
    interrupts = Interrupts()
    signals = SIGNALS if threading.current_thread() is threading.main_thread() else ()
    before = {each: signal.signal(each, interrupts.hear) for each in signals}
    _listening.append(interrupts)
    try:
        yield interrupts
    finally:
        _listening.pop()
        for each, handler in before.items():
            signal.signal(each, signal.SIG_IGN if last else handler or signal.SIG_DFL)


def end_at_once_on_sigterm() -> None:
    """Let SIGTERM end this process without a word: another one speaks, and the launcher ends the rest."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
