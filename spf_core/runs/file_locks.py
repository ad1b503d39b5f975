"""Which process works in a folder: a file created atomically, kept fresh, and taken over from the dead.

The claim with the highest number counts. Whoever finds it stale creates the next number: creating a file
succeeds for one process only, so that no lock and no deletion is needed to take over.
"""

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from spf_core.errors import RunError
from spf_core.utils.atomic import create_text
from spf_core.utils.json_text import read_json
from spf_core.utils.progress import PlannedStage, Progress, announce

CLAIM = "claim"
STALE_AFTER = 1800.0  # seconds without a sign of life from another host
BEAT_EVERY = 5.0


class Claim:
    """A claim this process holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beaten = time.monotonic()

    def beat(self) -> None:
        """Show that this process lives; RunError when another one took over meanwhile."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_EVERY:
            self._beaten = now
            if _next(self.path).exists():
                raise RunError(
                    f"another process took over '{self.path.parent}', as this process seemed dead; "
                    "let that one end, and start this one again for what is left"
                )
            with suppress(FileNotFoundError):
                os.utime(self.path)

    def heard_by(self, listener: Progress) -> Progress:
        """`listener`, which now also beats."""
        return _Beating(self, listener)


@dataclass(frozen=True)
class _Beating:
    claim: Claim
    listener: Progress

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        self.claim.beat()
        self.listener(stage, done, total, **values)

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        announce(self.listener, stages)


@contextmanager
def claimed(folder: Path, kind: str = CLAIM) -> Iterator[Claim | None]:
    """Hold `folder` within the context; None when a living process holds it. `kind` names the file."""
    claim = _try(folder, kind)
    try:
        yield claim
    finally:
        if claim:
            claim.path.unlink(missing_ok=True)


def sweep(folder: Path, kind: str = CLAIM) -> None:
    """Remove the claims of the dead from a finished folder."""
    for path in _claims(folder, kind):
        path.unlink(missing_ok=True)


def holder(folder: Path, kind: str = CLAIM) -> str | None:
    """Who holds the folder, as `host, process`; None when nobody does."""
    claims = _claims(folder, kind)
    if not claims or _stale(claims[-1]):
        return None
    content = _read(claims[-1])
    return f"{content.get('host', 'unknown host')}, process {content.get('pid', 'unknown')}"


def _try(folder: Path, kind: str) -> Claim | None:
    folder.mkdir(parents=True, exist_ok=True)
    claims = _claims(folder, kind)
    if claims and not _stale(claims[-1]):
        return None
    path = _next(claims[-1]) if claims else folder / f"{kind}-0"
    content = {**_home(), "pid": os.getpid(), "born": psutil.Process().create_time()}
    return Claim(path) if create_text(path, json.dumps(content)) else None


def _stale(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    content = _read(path)
    if _home().items() <= content.items():
        return not _alive(content.get("pid"), content.get("born"))
    return age > STALE_AFTER


def _home() -> dict[str, str]:
    """Where process numbers mean the same: containers may share a host's name, but not its processes."""
    space = Path("/proc/self/ns/pid")
    return {"host": platform.node(), "processes": str(space.readlink()) if space.exists() else ""}


def _alive(pid: Any, born: Any) -> bool:
    """Whether the very process still runs: a number may have been given to another one since."""
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(born)) < 1
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, TypeError, ValueError):
        return False


def _read(path: Path) -> dict[str, Any]:
    """The claim's content; nothing while it is being written."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _claims(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*"), key=_number)


def _next(path: Path) -> Path:
    kind, _, number = path.name.rpartition("-")
    return path.with_name(f"{kind}-{int(number) + 1}")


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
