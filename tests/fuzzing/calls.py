"""The command line called in this process, with streams like a terminal's and an end to its patience."""

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType

from spf_cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it said, and what it failed with inside."""

    code: int | None
    out: str
    err: str
    fault: BaseException | None = None
    late: bool = False


class TooLateError(BaseException):
    """The command took longer than it may."""


def call(*arguments: str, seconds: float = 0) -> Ended:
    """Run `spf` with the arguments; after `seconds`, where given, it is stopped."""
    out, err = _stream(), _stream("backslashreplace")
    code: int | None = None
    fault: BaseException | None = None
    with redirect_stdout(out), redirect_stderr(err), _alarm(seconds) as rung:
        try:
            main(list(arguments))
        except SystemExit as stopped:
            code, fault = int(stopped.code or 0), stopped.__context__
        except BaseException as error:
            fault = error
            if isinstance(error, KeyboardInterrupt):
                raise
    return Ended(code, _said(out), _said(err), fault, bool(rung))


@contextmanager
def _alarm(seconds: float) -> Iterator[list[int]]:
    rung: list[int] = []

    def ring(number: int, frame: FrameType | None) -> None:
        rung.append(number)
        raise TooLateError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(
        signal.ITIMER_REAL, seconds, 1
    )  # again and again: a handler may have swallowed the first
    try:
        yield rung
    except TooLateError:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stream(errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)


def _said(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "replace")
