"""Files and folders that a reader sees whole or not at all. Torch-free."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from spf_core.errors import RunError


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it becomes `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with _readable_disk_errors(path):
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def emptied_on_failure(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, made where there is none; without what was written when the block fails.

    The folder is not replaced as by `atomic_folder`: it may be a mounted disk, or where the user stands.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _readable_disk_errors(folder):
            yield folder
    except BaseException:
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        if made:
            folder.rmdir()
        raise


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside `path`; it becomes `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with _readable_disk_errors(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the file is what `atomic_file` leaves in a process that is killed."""
    return re.fullmatch(r"\..+-\d+", path.name) is not None and path.is_file()


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old or the new content, never a part."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def create_text(path: Path, text: str) -> bool:
    """Create a file with its whole text; False when it exists. Of several processes one succeeds.

    A hard link makes both true at once. Where the file system has none, the file is created empty and written
    then: a reader may see a part.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:
            return _create_then_write(path, text)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _create_then_write(path: Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


@contextmanager
def _readable_disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
        reason = (
            "no space left on the disk of" if full else f"{' '.join(str(error).split())}: could not write"
        )
        raise RunError(
            f"{reason} '{path}'; what was saved before is intact. "
            f"{'Free space' if full else 'Mend that'} and run it again (training: with --resume)"
        ) from error
