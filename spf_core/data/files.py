"""The files of a training folder: which can be data, and that no link leads out of the folder. Torch-free."""

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from spf_core.errors import DataError, short

NAMED = 5  # file names in a message; the others are counted
_SYSTEM = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "lost+found"})
_OF_DISKS = frozenset({"system volume information", "@eadir", "@recycle", "#recycle"})  # and network drives
_LOCK = "~$"  # how office programs begin the name of the file that they keep beside an open one
_LINE_END = re.compile(r"\r\n|\r|\n")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or written by the system for itself."""
    return name.startswith((".", _LOCK)) or name.casefold() in _SYSTEM | _OF_DISKS


def visible(folder: Path) -> list[Path]:
    """What the folder holds, sorted by name, without what is hidden; DataError when it cannot be listed."""
    try:
        return sorted(each for each in folder.iterdir() if not is_hidden(each.name))
    except OSError as error:
        raise DataError(
            f"folder '{folder}' cannot be read ({error.strerror}); make it readable, or give another"
        ) from None


def normal_form(name: str) -> str:
    """The name with each accent stored in its letter; older Macs store it as a character of its own."""
    return unicodedata.normalize("NFC", name)


def real_path(file: Path) -> str:
    """Where links lead; the name itself where no file can have it."""
    try:
        return os.path.realpath(file)
    except ValueError:
        return str(file)


def refuse_link_outside(folder: Path, path: Path) -> None:
    """Raise DataError for a path that links lead out of the folder. The folder itself may be a link."""
    real = real_path(path)
    if not Path(real).is_relative_to(os.path.realpath(folder)):
        raise DataError(f"'{path}' lies outside the data folder, at '{real}'; copy it into '{folder}'")


def read_text(folder: Path, file: Path) -> str:
    """The text of a file of the folder, without a byte order mark; DataError when it is not to be had."""
    refuse_link_outside(folder, file)
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); make it readable") from None


def lines_of(text: str) -> list[str]:
    r"""The lines of a text. They end with `\n`, `\r\n` or `\r`; str.splitlines would also split at U+2028."""
    return _LINE_END.split(text)


def first_names(files: Iterable[Path], folder: Path) -> str:
    """The names of the first files, relative to the folder, and how many more there are."""
    names = [
        (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()
        for file in sorted(files)
    ]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(short(name) for name in names[:NAMED]) + more
