"""One process trains in a run folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spf_core.errors import RunError
from spf_core.runs.file_locks import claimed, holder, sweep
from spf_core.utils.atomic import is_leftover
from spf_core.utils.progress import Progress

LOCK = "lock"


@contextmanager
def locked(run: Path, progress: Progress) -> Iterator[Progress]:
    """Hold the run within the context; yields `progress`, which now also shows that this process lives.

    RunError when a living process holds it; a lock of the dead is taken over. A folder that was made for the
    lock and is still empty at the end is removed.
    """
    made = not run.exists()
    try:
        with claimed(run, LOCK) as claim:
            if claim is None:
                raise RunError(
                    f"'{run}' is being trained by {holder(run, LOCK) or 'another process'}; "
                    "wait until it ends, stop it, or choose another --out"
                )
            for file in filter(is_leftover, [*run.glob(".*"), *run.glob("*/.*")]):
                file.unlink(missing_ok=True)
            yield claim.heard_by(progress)
            sweep(run, LOCK)
    finally:
        if made:
            with suppress(OSError):
                run.rmdir()


def is_filled(folder: Path) -> bool:
    """Whether the folder holds anything besides what a process leaves that is killed at the start."""
    files = folder.iterdir() if folder.is_dir() else ()
    names = [file.name for file in files if not is_leftover(file)]
    return any(not name.lstrip(".").startswith(f"{LOCK}-") for name in names)
