"""Finished cells of a target in one file, `cells/TARGET.tar.xz`: what a folder of results is published with.

It holds the files that would lie loose in the cells' folders; `tar -xf`, called in `cells/`, lays them out
again. The records of a target repeat its prompts, so one file takes half the room of many.
"""

import io
import lzma
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from spf_core.errors import RunError, short
from spf_core.utils.atomic import atomic_file
from spf_core.utils.special_files import refuse_special
from spf_lab.benchmark.plan import RECORD_FILE, Cell

SUFFIX = ".tar.xz"
_FAULTS = (OSError, EOFError, ValueError, LookupError, OverflowError, lzma.LZMAError, tarfile.TarError)
Files = Mapping[str, bytes]  # "TARGET/PRESET/seed-N/FILE" -> content


def archive_file(out: Path, target: str) -> Path:
    """Where the packed cells of a target lie in a benchmark's folder."""
    return out / "cells" / f"{target}{SUFFIX}"


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether the cell has its record, loose or packed: a record is written last."""
    return cell.record(out).is_file() or is_packed(cell, out)


def is_packed(cell: Cell, out: Path) -> bool:
    """Whether the target's archive holds the cell's record."""
    return f"{cell.name}/{RECORD_FILE}" in packed_files(out, cell.target)


def cell_file(cell: Cell, name: str, out: Path) -> bytes:
    """The content of a file of the cell, the loose one before the packed one; OSError without either."""
    loose = cell.folder(out) / name
    refuse_special(loose)
    if loose.exists():
        return loose.read_bytes()
    try:
        return packed_files(out, cell.target)[f"{cell.name}/{name}"]
    except KeyError:
        raise FileNotFoundError(f"{name} is neither in its folder nor in {cell.target}{SUFFIX}") from None


def packed_files(out: Path, target: str) -> Files:
    """All files in the archive of a target, none where there is no archive; RunError when it is damaged."""
    file = archive_file(out, target)
    try:
        refuse_special(file)
        if not file.exists():
            return {}
        stat = file.stat()
        return _read(file, stat.st_mtime_ns, stat.st_size)
    except _FAULTS as error:
        reason = f"{type(error).__name__}: {short(' '.join(str(error).split()), 160)}"
        raise RunError(
            f"'{file}' is damaged ({reason}); copy it from where it came, or delete it and run "
            f"the benchmark again"
        ) from None


def write_archive(out: Path, target: str, files: Files) -> None:
    """Write the archive of a target; the same files give the same bytes."""
    with (
        atomic_file(archive_file(out, target)) as temporary,
        tarfile.open(temporary, "w:xz", preset=9) as tar,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)  # neither a date nor an owner
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def how_to_delete(cell: Cell, out: Path, folder: str = "that folder") -> str:
    """What the user does before the cell is trained again."""
    if not is_packed(cell, out):
        return f"delete {folder}"
    archive = archive_file(out, cell.target)
    return f"unpack {archive.name} with tar -xf in '{archive.parent}', delete it and {folder},"


@lru_cache(maxsize=16)
def _read(file: Path, _changed: int, _size: int) -> Files:
    found = {}
    with tarfile.open(file, "r:xz") as tar:
        for member in tar:  # in their order, so that everything is decompressed once
            content = tar.extractfile(member) if member.isfile() else None
            if content:
                found[member.name] = content.read()
    return found
