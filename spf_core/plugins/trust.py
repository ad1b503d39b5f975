"""Which plugin files may run: those that the user names now, and those in folders that the user allows.

A run folder, a benchmark's file or a configuration may come from anybody, and so may the code that it names.
Torch-free.
"""

import hashlib
import os
import shlex
from pathlib import Path

from spf_core.utils.paths import expanded

ALLOWED = "SPF_TRUSTED_FOLDERS"
PLUGINS_FOLDER = "plugins"  # of a run folder: copies of the plugin files that it was trained with


def is_allowed(file: Path) -> bool:
    """Whether the file really lies, links followed, in a folder that `$SPF_TRUSTED_FOLDERS` lists."""
    folders = [Path(expanded(item)) for item in os.environ.get(ALLOWED, "").split(os.pathsep) if item]
    place = file.resolve()
    return any(place.is_relative_to(folder.resolve()) for folder in folders)


def how_to_allow(file: Path) -> str:
    """The plugin file with its hash, and what lets it run."""
    if not file.is_file():
        return f"'{file}', which is not there; give it with --plugin FILE.py"
    return (
        f"'{file}' (SHA-256 {file_digest(file)[:16]}), which runs only when you say so: read it, then add "
        f"--plugin {file}, or allow its folder with {ALLOWED}={file.parent}"
    )


def resume_command(run: Path) -> str:
    """The command that continues a run, with the plugin files that it was started with."""
    copies = sorted((run / PLUGINS_FOLDER).glob("*.py"))
    plugins = [word for copy in copies for word in ("--plugin", str(copy))]
    return shlex.join(["spf", "train", "--resume", "--out", str(run), *plugins])


def file_digest(file: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
