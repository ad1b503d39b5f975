"""What made a run: where it was started, from which data, with which plugins, and what changed since.

The file lies in the run folder alone. Weights, checkpoints, pictures and reports are passed on to others, so
no path of this machine stands in them. Torch-free.
"""

import hashlib
import logging
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spf_core import __version__
from spf_core.errors import RunError
from spf_core.plugins.discovery import FILE, GROUP, Entry, Plugins
from spf_core.plugins.trust import PLUGINS_FOLDER, file_digest
from spf_core.utils.atomic import atomic_file, atomic_write_text
from spf_core.utils.json_text import NotJsonError, read_json
from spf_core.utils.validation import explain

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig

PROVENANCE_FILE = "provenance.json"
_log = logging.getLogger("spf")


class _Record(BaseModel):
    """A part of the file. A run of a later version may record more: what is unknown here is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Used(_Record):
    """A component of the run with the package or file that provided it.

    `provider` is the name of the installed distribution, or of the plugin file, whose copy lies in the run
    folder. `sha256` is that of the file, or of all Python files of the package.
    """

    kind: str
    name: str
    provider: str
    version: str
    sha256: str

    @property
    def source(self) -> str:
        """Where to get it."""
        if self.version == FILE:
            return f"the plugin file '{self.provider}' (SHA-256 {self.sha256[:16]})"
        return f"the package '{self.provider}' {self.version}"

    @property
    def source_and_hash(self) -> str:
        """The same with the hash, by which two states of one version differ."""
        return self.source if self.version == FILE else f"{self.source} (SHA-256 {self.sha256[:16]})"


# A line of `spf_core.data.record`: hashes of a row's image, mask and texts, and its name.
Recorded = Annotated[str, Field(pattern=r"^[0-9a-f]{16} ([0-9a-f]{16}|-) [0-9a-f]{16} ")]


class Provenance(_Record):
    """What `provenance.json` of a run folder holds.

    `started_in` is the folder that relative paths of the configuration start from. `events` are sentences
    about the run's history, the oldest first: an extension, data that changed and was accepted. `plugins` are
    the components that the run was started with, `data` the rows that it reads.
    """

    spf: str = __version__
    started_in: str
    events: tuple[str, ...] = ()
    plugins: tuple[Used, ...] = ()
    data: tuple[Recorded, ...] | None = None

    def with_event(self, sentence: str) -> "Provenance":
        """The same with one more sentence about what happened to the run."""
        return self.model_copy(update={"events": (*self.events, sentence)})

    def write(self, run: Path) -> None:
        """Write the file into the run folder, whole or not at all."""
        atomic_write_text(run / PROVENANCE_FILE, self.model_dump_json(indent=2) + "\n")


def read_provenance(run: Path) -> Provenance | None:
    """What made the run; None for a run of a version that recorded nothing. RunError when it is damaged."""
    file = run / PROVENANCE_FILE
    try:
        return Provenance.model_validate(read_json(file))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        reason = explain(error, "", Provenance)
    except NotJsonError as error:
        reason = str(error)
    raise RunError(
        f"'{file}' is damaged ({reason}); delete it: relative paths of the run then start from the current "
        "folder"
    )


def origin_of(run: Path, kind: str, name: str) -> str:
    """A component that cannot be had here, and how to get it, as far as the run's record tells."""
    record = read_provenance(run)
    used = [each for each in record.plugins if (each.kind, each.name) == (kind, name)] if record else []
    if not used:
        return f"the {kind} '{name}', which is not installed; install its package, or add --plugin FILE.py"
    way_out = f"pip install {used[0].provider}"
    if used[0].version == FILE:
        copy = run / PLUGINS_FOLDER / used[0].provider
        way_out = f"read it, then add --plugin {copy}"
    return f"the {kind} '{name}' of {used[0].source}; {way_out}"


def record_start(run: Path, config: "RunConfig", plugins: Plugins, data: tuple[str, ...]) -> None:
    """Write the record of a run that starts now, and copy its plugin files into the run folder.

    RunError when two of them have one name.
    """
    copied: dict[str, Path] = {}
    for file in map(Path, dict.fromkeys(e.provider for e in plugins.entries.values() if e.version == FILE)):
        if file.name in copied:
            raise RunError(f"the plugin files '{copied[file.name]}' and '{file}' have one name; rename one")
        copied[file.name] = file
    for name, file in copied.items():
        (run / PLUGINS_FOLDER).mkdir(parents=True, exist_ok=True)
        with atomic_file(run / PLUGINS_FOLDER / name) as temporary:
            shutil.copyfile(file, temporary)
    used = tuple(used_by(config, plugins))
    Provenance(started_in=str(Path.cwd()), plugins=used, data=data).write(run)


def warn_of_other_plugins(run: Path, config: "RunConfig", plugins: Plugins) -> None:
    """Warn, and record, when components of the run come from another version than it was started with."""
    record = read_provenance(run)
    before = {(each.kind, each.name): each for each in record.plugins} if record else {}
    changed: dict[tuple[str, str], list[str]] = {}
    for now in used_by(config, plugins):
        was = before.get((now.kind, now.name), now)
        if (was.version, was.sha256) != (now.version, now.sha256):
            sources = (was.source_and_hash, now.source_and_hash)
            changed.setdefault(sources, []).append(f"{now.kind} '{now.name}'")
    for (then, today), names in changed.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        sentence = f"{', '.join(names[:3])}{more}: the run was started with {then}, and goes on with {today}"
        _log.warning("%s", sentence)
        record = record.with_event(sentence) if record else None
    if record and changed:
        record.write(run)


def used_by(config: "RunConfig", plugins: Plugins) -> Iterator[Used]:
    """Every component of the run with its provider; what is no component of `plugins` is left out."""
    slots = (config.backbone, config.adapter, config.reference, config.control_map, config.response)
    others = (config.reward, config.editor, config.reader, config.optimizer)
    parts = (*slots, *others, *config.losses.values(), *config.train.trackers)
    for part in parts:
        if part is not None and part.name in plugins.entries:
            yield _used(part.kind, part.name, plugins.entries[part.name])
    if config.preset in plugins.entries:
        yield _used("preset", config.preset, plugins.entries[config.preset])


def _used(kind: str, name: str, entry: Entry) -> Used:
    if entry.version == FILE:
        file = Path(entry.provider)
        return Used(kind=kind, name=name, provider=file.name, version=FILE, sha256=file_digest(file))
    digest = package_digest(entry.config.__module__.partition(".")[0])
    provider = _distribution(entry.provider)
    return Used(kind=kind, name=name, provider=provider, version=entry.version, sha256=digest)


def _distribution(entry_point: str) -> str:
    """What pip calls the package with the entry point."""
    found = [each.dist.name for each in entry_points(group=GROUP, name=entry_point) if each.dist]
    return found[0] if found else entry_point


@cache
def package_digest(package: str) -> str:
    """SHA-256 over names and bytes of all Python files of a package that is imported."""
    origin = getattr(sys.modules.get(package), "__file__", None)
    if origin is None:
        return ""
    root = Path(origin).parent
    files = sorted(root.rglob("*.py")) if Path(origin).name == "__init__.py" else [Path(origin)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
