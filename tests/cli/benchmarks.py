"""What the tests of `spf benchmark` share: a small file, and a look into the folder it makes."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STRONG = {"name": "strong", "preset": "lora", "set": ["optimizer.learning_rate=0.1"]}
CELLS = ["hat/lora/seed-0", "hat/lora/seed-1", "hat/strong/seed-0", "hat/strong/seed-1"]


@dataclass(frozen=True)
class Finished:
    """A benchmark that ran to its end: its file, its folder and what the command said."""

    file: Path
    out: Path
    said: str


def finish(
    spf: Callable[..., Any], command: str, settings: dict[str, Any], folder: Path, *more: object
) -> Finished:
    """Run the command on a file with the settings, to its end."""
    file, out = write(folder / "small.yaml", settings), folder / "out"
    done = spf(command, file, "--out", out, *more)
    assert done.code == 0, done.err
    return Finished(file, out, done.out)


def small_settings(tiny: list[str]) -> dict[str, Any]:
    return {
        "suite": "portraits",
        "backbone": "mini",
        "targets": ["hat"],
        "presets": ["lora", STRONG],
        "seeds": [0, 1],
        "data": {"count": 4, "bias": {"background": "teal"}},
        "evaluation": {"prompts": 3, "seeds": 1},
        "steps": 1,
        "set": [part for part in tiny if part != "--set"],
    }


def cell_lines(said: str) -> list[str]:
    """The cells that were told as finished, in order."""
    return [line.split()[0] for line in said.splitlines() if "/seed-" in line and " SPS " in line]


def write(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def finished_cells(out: Path) -> list[str]:
    files = (out / "cells").glob("*/*/*/record.json.gz")
    return sorted(file.relative_to(out / "cells").parent.as_posix() for file in files)


def read_record(cell: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress((cell / "record.json.gz").read_bytes()))
    return found


def change_record(cell: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = read_record(cell)
    change(content)
    (cell / "record.json.gz").write_bytes(gzip.compress(json.dumps(content).encode()))


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
