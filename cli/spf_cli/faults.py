"""Every way in which a command can end badly, as one line and an exit code.

This is the one place that decides which errors are the user's: what is none of them is a fault of spf, whose
details go into a log file.
"""

import errno
import os
import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

import typer

from spf_core.errors import InterruptedRunError, SpfError, short

USER_FAULT, OWN_FAULT, INTERRUPTED = 2, 3, 130
_NOTHING_HALF = "interrupted; nothing is half-written. To start again, run the same command"
DEBUG = "SPF_DEBUG"
_MESSAGE = 2000  # characters of a message, far more than one of ours has
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "pydantic", "typer")
_FREE_SPACE = "free some space and run the command again"
_ALLOWED_PLACE = "choose a place that you may read and write"
_PARENTS = "choose a path whose parents are folders"
_AGAIN = "check the path and the device that it is on, then run the command again"
_LESS = "close other programs or choose smaller settings"
_WAYS_OUT = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: "choose a place that takes larger files",
    errno.EACCES: _ALLOWED_PLACE,
    errno.EPERM: _ALLOWED_PLACE,
    errno.EROFS: "choose a place that can be written",
    errno.EEXIST: _PARENTS,
    errno.ENOTDIR: _PARENTS,
    errno.EISDIR: "give a file, not a folder",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "replace the links that point at each other",
    errno.EMFILE: "allow more open files, as with `ulimit -n 4096`",
    errno.ENFILE: "close other programs: the machine has too many open files",
    errno.ENOMEM: _LESS,
}


def end(error: BaseException) -> NoReturn:
    """Say in one line what went wrong, and exit with the code for it; with SPF_DEBUG=1 show the traceback."""
    whole = error
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, BrokenPipeError):
        leave_quietly()
    if os.environ.get(DEBUG, "").strip() not in ("", "0"):
        with suppress(Exception):
            traceback.print_exception(whole)
    with suppress(Exception):
        if (interrupt := _interrupt(error)) is not None:
            say(str(interrupt) or _NOTHING_HALF)
            sys.exit(INTERRUPTED)
        if (message := fault_of_user(error)) is not None:
            say(message)
            sys.exit(USER_FAULT)
    if used := _components_of_others():
        say(
            f"{_described(error)}, in spf's own code, after it used {used}. What that returned may be wrong: "
            f"try spf plugins check NAME. If the check passes, spf has a bug. {_where(_log(whole))}"
        )
        sys.exit(USER_FAULT)
    say(f"spf has a bug: {_described(error)}. {_where(_log(whole))}")
    sys.exit(OWN_FAULT)


def _components_of_others() -> str:
    """The components of others' plugins that this process has built, as a list; empty without any."""
    with suppress(Exception):
        from spf_core.plugins.containment import used_components

        return ", ".join(used_components()[:3])
    return ""


def _interrupt(error: BaseException) -> BaseException | None:
    """The interrupt behind the error, if there is one: what it stops may fail in a way of its own."""
    if isinstance(error, SpfError) and not isinstance(error, InterruptedRunError):
        return None
    found: BaseException | None = error
    while not (found is None or isinstance(found, KeyboardInterrupt | InterruptedRunError)):
        found = found.__cause__ or found.__context__
    return found


def fault_of_user(error: BaseException) -> str | None:
    """What the user reads of an error that the user or the machine caused; None for a fault of spf."""
    if isinstance(error, SpfError):
        return str(error)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, OSError):
        return _fault_of_machine(error)
    if isinstance(error, MemoryError):
        return f"the machine's memory is used up; {_LESS}"
    if isinstance(error, RuntimeError) and "torch" in sys.modules:
        return _fault_of_memory(error)
    if isinstance(error, ImportError) and error.name and not error.name.startswith("spf_"):
        reason = short(str(error), 200)
        return (
            f"the package '{error.name}' cannot be imported ({reason}); install it again, then see spf doctor"
        )
    from spf_core.plugins.containment import failed_plugin

    return failed_plugin(error)


def _fault_of_memory(error: RuntimeError) -> str | None:
    """The refusal of one of torch's allocators; None for another error."""
    from spf_core.utils.devices import is_out_of_memory

    if not is_out_of_memory(error):
        return None
    return f"the memory is used up ({short(' '.join(str(error).split()), 200)}); {_LESS}"


def say(message: str) -> None:
    """Print `error: message` on stderr; never raises."""
    try:
        from spf_cli.render import fault

        fault(message)
    except Exception:  # a terminal that cannot be written to must not hide the exit code
        with suppress(Exception):
            print(f"error: {short(message, _MESSAGE)}", file=sys.stderr, flush=True)


def tolerant_streams() -> None:
    """Let stdout and stderr escape the characters that their encoding lacks; where closed, write nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def leave_quietly() -> NoReturn:
    """End after whoever read the output left, as `spf plugins list | head -1` does."""
    with suppress(Exception):  # what is still buffered must not fail a second time when Python ends
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BrokenPipeError:
                os.dup2(nowhere, stream.fileno())
    sys.exit(1)


def _usage(error: typer.TyperException) -> str:
    ctx = getattr(error, "ctx", None)
    hint = f"; `{ctx.command_path} --help` shows its usage" if ctx is not None else ""
    return error.format_message().rstrip(".").replace(": Value error, ", ": ") + hint


def _fault_of_machine(error: OSError) -> str | None:
    """The error of a file, a disk or a device in one line; None where it names no file and has no way out."""
    way_out = _WAYS_OUT.get(error.errno or 0)
    if error.filename is None and way_out is None:
        return None
    place = f" '{short(os.fsdecode(error.filename), 200)}'" if isinstance(error.filename, str | bytes) else ""
    return f"{error.strerror}{place}; {way_out or _AGAIN}"


def _described(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "it cannot say what happened"
    return f"{type(error).__name__}: {short(' '.join(said.split()) or 'no message', 200)}"


def _where(log: Path | None) -> str:
    return f"Please report it with '{log}'" if log else f"{DEBUG}=1 shows the details; please report them"


def _log(error: BaseException) -> Path | None:
    """Write a file with what a report needs: versions, arguments and the traceback; None when none can be."""
    with suppress(Exception):
        content = "\n".join([*_circumstances(), "", *traceback.format_exception(error)])
        for place in (_cache_logs, tempfile.gettempdir):
            with suppress(Exception):
                handle, name = tempfile.mkstemp(".log", "spf-fault-", place())
                with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.write(content)
                return Path(name)
    return None


def _cache_logs() -> Path:
    from spf_core.utils.paths import cache_folder

    folder = cache_folder() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _circumstances() -> list[str]:
    versions = [f"spf {_version('spf')}", f"Python {platform.python_version()}", platform.platform()]
    packages = [f"{name} {_version(name)}" for name in _PACKAGES]
    return [", ".join(versions), ", ".join(packages), f"arguments: {sys.argv[1:]!r}", f"in: {Path.cwd()}"]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
