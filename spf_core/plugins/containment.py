"""Running a plugin's code outside of steps, so that it can neither end spf nor change it. Torch-free.

Whatever the code raises becomes a PluginError of one line, SystemExit and KeyboardInterrupt included. The
signal tells Ctrl-C from a KeyboardInterrupt of the plugin: what a signal handler raises is passed on.
"""

import os
import random
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from spf_core.errors import PluginError, SpfError, short

SECONDS = 30.0  # in which a plugin must have been imported and registered
_AGAIN = 1.0  # seconds between attempts to stop it after that
_REASON = 300  # characters of what an error says
T = TypeVar("T")
# How messages call each plugin that is no part of spf, by the top-level package of its modules.
_called: dict[str, str] = {}
# How messages call the components of such plugins that were built.
_used: dict[str, None] = {}


class _Overdue(BaseException):
    """Raised in code that takes longer than it may; no `except Exception` of a plugin stops it."""


def contained(
    call: Callable[[], T],
    *,
    what: str = "",
    seconds: float | None = None,
    sooner: str = "import what is heavy inside build()",
    package: str = "",
) -> T:
    """What `call` returns; PluginError `what: reason` for whatever it raises, SpfErrors as they are.

    `seconds` bounds the time, in the main thread of systems that have timers: elsewhere nothing is stopped.
    `sooner` is what the error then advises.
    Time in which another top-level package than `package` is imported does not end the call, as that package
    would be left in halves, for spf too. Prints go to stderr, since programs read stdout. The working folder,
    warning filters, signal handlers, global random states and torch's defaults are put back.
    """
    failed: BaseException | None = None
    found: list[T] = []
    raised_by_user: list[BaseException] = []
    with _restored(), _heard(raised_by_user), redirect_stdout(sys.stderr):
        try:
            with _timed(seconds, sooner, package, sys._getframe()):
                found.append(call())
        except BaseException as error:
            failed = error
    if raised_by_user:  # also where the plugin swallowed it
        raise raised_by_user[0]
    if failed is None:
        return found[0]
    if isinstance(failed, SpfError):
        raise failed
    reason = reason_of(failed, package)
    raise PluginError(f"{what}: {reason}" if what else reason) from failed


def reason_of(error: BaseException, package: str = "") -> str:
    """Kind, message and place of an error in one line, whatever the error does when it is asked.

    The place is the last one in the modules of `package`.
    """
    place = "" if isinstance(error, SyntaxError) else place_of(error, package)
    if isinstance(error, _Overdue):
        return f"{error}{place}"
    kind, said = "error", "it cannot say why"
    with suppress(BaseException):
        kind = type(error).__name__
        silent = (
            "it interrupted spf, as Ctrl-C does" if isinstance(error, KeyboardInterrupt) else "no message"
        )
        said = " ".join(str(error).split()) or silent
    return f"{kind}: {short(said, _REASON)}{place}"


def place_of(error: BaseException, package: str) -> str:
    """`. See FILE, line N` for the last line of the package's modules that the error came through, or ``."""
    places = [
        f". See {Path(frame.f_code.co_filename).name}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if package and _package_of(frame) == package
    ]
    return places[-1] if places else ""


def remember_plugin(package: str, called: str) -> None:
    """Remember that the modules of a package are those of a plugin that is no part of spf."""
    _called[package] = called


def failed_plugin(error: BaseException) -> str | None:
    """`PLUGIN failed: reason` where the error came through a plugin of others; None where it did not.

    It is for objects that spf calls without a net, such as a layer that an adapter has put into the model.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for package in map(_package_of, reversed(frames)):
        if package in _called:
            way_out = "mend it there, report it to its provider, or leave it out"
            return f"{_called[package]} failed: {reason_of(error, package)}; {way_out}"
    return None


def remember_used(called: str) -> None:
    """Remember that a component of a plugin that is no part of spf was built in this process."""
    _used[called] = None


def forget_used() -> None:
    """Forget them, as a command begins: a process may run several."""
    _used.clear()


def used_components() -> list[str]:
    """How messages call the components of plugins that were built in this process."""
    return list(_used)


def _package_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


@contextmanager
def _timed(seconds: float | None, sooner: str, package: str, base: FrameType) -> Iterator[None]:
    """Raise _Overdue after `seconds` in what `base` calls, and again where that is swallowed."""
    in_main = threading.current_thread() is threading.main_thread()
    if seconds is None or not in_main or not hasattr(signal, "setitimer"):
        yield
        return
    over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not over and not _imports_another(frame, package, base):
            raise _Overdue(f"it did not come to an end within {seconds:g} seconds; {sooner}")

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _imports_another(frame: FrameType | None, package: str, base: FrameType) -> bool:
    """Whether a module of another package than `package` is half imported in what `base` calls."""
    while frame is not None and frame is not base:
        if frame.f_code.co_name == "<module>" and _package_of(frame) != package:
            return True
        frame = frame.f_back
    return False


@contextmanager
def _heard(raised: list[BaseException]) -> Iterator[None]:
    """Collect what the handlers of real signals raise, and put the handlers back in the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def listen(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def heard(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                raised.append(error)
                raise

        return heard

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, listen(handler))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: not installed from Python, and not to be put back from there
                signal.signal(number, handler)


@contextmanager
def _restored() -> Iterator[None]:
    """Put back what code may change of the process by accident; torch may be loaded only now."""
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    undo: list[Callable[[], Any]] = []

    def keep(read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        value = read()
        undo.append(lambda: write(value))

    with suppress(OSError):  # the folder may be gone
        keep(Path.cwd, os.chdir)
    keep(random.getstate, random.setstate)
    if numpy:
        keep(numpy.get_state, numpy.set_state)
    if torch:
        keep(torch.get_rng_state, torch.set_rng_state)
        keep(torch.get_default_dtype, torch.set_default_dtype)
        keep(torch.is_grad_enabled, torch.set_grad_enabled)
    with warnings.catch_warnings():
        try:
            yield
        finally:
            if torch is None and (torch := sys.modules.get("torch")):
                undo += [lambda: torch.set_default_dtype(torch.float32)]
                undo += [lambda: torch.set_grad_enabled(True)]
            for put_back in undo:
                with suppress(Exception):  # the folder is gone, or the library loaded in part only
                    put_back()
