"""A benchmark's folder: what it was made with, and the training data in it. Torch-free."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf_core.data import METADATA
from spf_core.errors import DataError, RunError
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.yaml_text import dump_yaml, read_yaml
from spf_lab.benchmark.archive import SUFFIX, packed_files
from spf_lab.benchmark.plan import data_folder
from spf_lab.benchmark.spec import RunsSpec, parse_benchmark

if TYPE_CHECKING:
    from spf_core.interfaces import Suite

RECORD = "benchmark.yaml"
IGNORED = """\
# Written by spf benchmark: what can be made again, and what only matters while it runs.
# The records in cells/ are all that tables and figures need.
data/
cells/*/*/*/run/
cells/*/*/*/evaluation/
claim-*
.*-*
"""
_GROWING = ("targets", "seeds")
_NO_CELL_CHANGES = {"family": None, "targets": None, "seeds": None}  # a finished one, that is


@dataclass(frozen=True)
class FolderKind:
    """A folder of results: the record of its settings, what it is called, and the keys that may grow.

    A list grows by further values, a number by becoming larger; presets may always be added, and changed as
    long as `has_any`, given the folder and their name, finds nothing of theirs.
    """

    record: str
    name: str
    growing: tuple[str, ...]
    has_any: Callable[[Path, str], bool]
    parse: Callable[[Mapping[str, Any], str], RunsSpec]

    @property
    def may_grow(self) -> str:
        """What may be added, in words."""
        return f"{', '.join(('presets', *self.growing[:-1]))} and {self.growing[-1]}"


def _has_cells(out: Path, preset: str) -> bool:
    """Whether any cell of the preset lies loose or packed."""
    packed = (packed_files(out, file.name.removesuffix(SUFFIX)) for file in out.glob(f"cells/*{SUFFIX}"))
    return any(out.glob(f"cells/*/{preset}/*")) or any(
        name.split("/")[1] == preset for files in packed for name in files
    )


BENCHMARK = FolderKind(RECORD, "benchmark", _GROWING, _has_cells, parse_benchmark)


def open_folder(out: Path, spec: RunsSpec, *, create: bool = True, kind: FolderKind = BENCHMARK) -> None:
    """Make `out` the folder of this file, or check that it is; what `kind` allows may have been added.

    RunError when the folder holds something else, or was made with other settings; or when there is none and
    it shall not be created.
    """
    record = out / kind.record
    if out.exists() and not out.is_dir():
        raise RunError(f"'{out}' is a file; choose a folder with --out")
    if any(out.glob("cells/*/*/*/record.json.gz")):
        raise RunError(
            f"'{out}' holds records of an earlier version; "
            f"gunzip {out}/cells/*/*/*/record.json.gz makes them readable"
        )
    strange = [item.name for item in out.iterdir() if kind.record not in item.name] if out.is_dir() else []
    if record.is_file():
        before = kind.parse(read_yaml(record), str(record))
        _refuse_changes(out, before.plain(), spec.plain(), kind)
        if before == spec:
            _ignore(out)
            return
    elif not create:
        raise RunError(
            f"'{out}' is not a {kind.name}'s folder: it has no {kind.record}; "
            f"give the --out of spf {kind.name}"
        )
    elif strange:
        raise RunError(f"'{out}' is not empty and no {kind.name}'s folder; choose another with --out")
    atomic_write_text(record, dump_yaml(spec.plain()))
    _ignore(out)


def _ignore(out: Path) -> None:
    """Keep out of git what needs not be there; a file of the user's own is left as it is."""
    if not (out / ".gitignore").exists():
        atomic_write_text(out / ".gitignore", IGNORED)


def write_data(out: Path, target: str, spec: RunsSpec, suite: "Suite") -> None:
    """Let the suite write the target's training folder, once; another process may be doing the same."""
    folder, data = data_folder(out, target), spec.data
    if (folder / METADATA).is_file():
        return
    try:
        suite.write_training_set(
            folder, target=target, count=data.count, bias=data.bias, seed=data.seed, size=data.size
        )
    except (DataError, OSError):
        if not (folder / METADATA).is_file():
            raise


def _refuse_changes(out: Path, before: Mapping[str, Any], now: Mapping[str, Any], kind: FolderKind) -> None:
    for key, old in before.items():
        new = now[key]
        if key == "presets":
            _refuse_changed_presets(out, old, new, kind)
        elif (
            key == "target_set"
        ):  # new targets bring theirs; a finished cell's own settings are compared apart
            continue
        elif key in kind.growing and isinstance(old, list):
            for value in old:
                if value not in new:
                    _refuse(out, f"'{key}' had {value!r}, which is missing now", kind)
        elif new < old if key in kind.growing else new != old:
            _refuse(out, f"'{key}' was {old!r} and is {new!r} now", kind)


def _refuse_changed_presets(
    out: Path, old: list[Mapping[str, Any]], new: list[Mapping[str, Any]], kind: FolderKind
) -> None:
    entries = {entry["name"]: entry for entry in new}
    for entry in old:
        name = entry["name"]
        if name not in entries:
            _refuse(out, f"'presets' had {name!r}, which is missing now", kind)
        same = {**entries[name], **_NO_CELL_CHANGES} == {**entry, **_NO_CELL_CHANGES}
        if not same and kind.has_any(out, name):
            _refuse(out, f"preset {name!r} was {dict(entry)!r} and is {dict(entries[name])!r} now", kind)


def _refuse(out: Path, change: str, kind: FolderKind) -> None:
    raise RunError(
        f"'{out}' was made with another file: {change}; only {kind.may_grow} can be added. "
        f"Change it back, or choose another --out"
    )
