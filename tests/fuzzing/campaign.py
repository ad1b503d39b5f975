"""Many malformed inputs, each made from a seed and its number, and what is wrong with how commands end."""

import hashlib
import os
import random
import re
import shutil
import stat
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fuzzing.calls import Ended, call
from fuzzing.damage import damage_arguments, damage_file, damaged_assignment, remove
from fuzzing.specimens import ROOT, Specimen

PATIENCE = 30.0  # seconds
LINES, WIDTH = 12, 1500  # of what stands on stderr
BAIT = "nobody may change this\n"
_OBEYED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")


@dataclass(frozen=True)
class Attempt:
    """One malformed input: how it was made and how the command ended."""

    number: int
    specimen: str
    arguments: Sequence[str]
    ended: Ended
    faults: Sequence[str]

    def __str__(self) -> str:
        shown = " ".join(ascii(each)[1:-1] for each in self.arguments)
        last = self.ended.err.strip().splitlines()[-1:] or [""]
        return f"input {self.number}, {self.specimen}: spf {shown[:300]}\n    {ascii(last[0])[1:301]}"


class Campaign:
    """Makes input number N of a seed from one of the specimens, gives it to a command, and judges the end."""

    def __init__(self, specimens: Sequence[Specimen], seed: int, home: Path) -> None:
        self.specimens, self.seed, self.home = specimens, seed, home

    def attempt(self, number: int) -> Attempt:
        """Make the input and run the command; its folder stays where something is wrong."""
        rng = random.Random(f"{self.seed}:{number}")
        (specimen,) = rng.choices(self.specimens, [each.share for each in self.specimens])
        place = self.home / f"input-{number}"
        given, bait = place / "work" / "in", place / "outside" / "bait"
        bait.parent.mkdir(parents=True)
        bait.write_text(BAIT, encoding="utf-8")
        shutil.copytree(specimen.folder, given)
        for file in given.rglob("config.yaml"):  # what names a file of the specimen names that of the copy
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(str(specimen.folder), str(given)), encoding="utf-8")
        arguments = _damaged(rng, specimen, given)
        before = _fingerprints(place)
        waiting = threading.Timer(PATIENCE + 2, _open_pipes, [given])
        waiting.start()
        with chdir(given.parent):
            ended = call(*arguments, seconds=PATIENCE)
        waiting.cancel()
        faults = [*_faults(ended, specimen), *_changes(before, _fingerprints(place), specimen)]
        if not faults:
            remove(place)
        return Attempt(number, specimen.name, arguments, ended, faults)


@contextmanager
def machine_of_its_own(folder: Path) -> Iterator[None]:
    """Home, cache and temporary files in the folder, and no network."""
    places = {"HOME": folder / "home", "SPF_CACHE": folder / "cache", "TMPDIR": folder / "temporary"}
    with pytest.MonkeyPatch.context() as patch:
        for name, place in places.items():
            place.mkdir()
            patch.setenv(name, str(place))
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            patch.setenv(name, "1")
        patch.setattr("tempfile.tempdir", None)
        patch.delenv("COLUMNS", raising=False)
        yield


def report(failed: Iterable[Attempt], *, seed: int, tried: int) -> str:
    """What is wrong, each kind once with its first inputs, the most frequent first."""
    kinds: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in failed:
        for fault in attempt.faults:
            kinds[fault].append(attempt)
    lines = [f"{sum(map(len, kinds.values()))} faults of {len(kinds)} kinds in {tried} inputs of seed {seed}"]
    for fault, attempts in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
        numbers = ",".join(str(each.number) for each in attempts[:8])
        lines += ["", f"{len(attempts)} x {fault}", f"  SPF_FUZZ_SEED={seed} SPF_FUZZ_ONLY={numbers}"]
        lines += [f"  {each}" for each in attempts[:2]]
    return "\n".join(lines)


def counted(attempts: Iterable[Attempt]) -> str:
    """How often which specimen ended in which way."""
    ends = Counter((each.specimen, each.ended.code) for each in attempts)
    return "\n".join(
        f"{count:6} {name}: exit {code}" for (name, code), count in sorted(ends.items(), key=str)
    )


def _open_pipes(given: Path) -> None:
    """Wake whoever waits for a pipe in code that no signal interrupts."""
    for file in given.rglob("*"):
        if file.is_fifo():
            os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))


def _damaged(rng: random.Random, specimen: Specimen, given: Path) -> list[str]:
    """Damage the copy of a specimen, or the arguments; returns the arguments."""
    command = rng.choice(specimen.commands)
    arguments = [part.replace("{in}", str(given)).replace("{out}", "new") for part in command]
    if specimen.arguments:
        return damage_arguments(rng, arguments)
    if specimen.assignments:
        for _ in range(rng.choice((1, 1, 2, 3))):
            arguments += ["--set", damaged_assignment(rng, specimen.assignments)]
        return arguments
    files = sorted(given.glob(rng.choice(specimen.damaged)))
    for _ in range(rng.choice((1, 1, 1, 1, 2))):
        damage_file(rng, rng.choice(files))
    return arguments


def _faults(ended: Ended, specimen: Specimen) -> Iterator[str]:
    """What is wrong with the end of a command, each in a line that is the same for the same cause."""
    lines = ended.err.splitlines()
    if ended.late:
        yield f"no end after {PATIENCE:g} s in {_place(ended.fault)}"
    elif ended.code not in specimen.codes:
        kind = "no exit code" if ended.code is None else f"exit code {ended.code}"
        yield f"{kind}: {type(ended.fault).__name__} in {_place(ended.fault)}"
    elif ended.code == 2 and not lines and not ended.out.startswith("{"):
        yield "exit code 2 without a word on stderr"
    if "Traceback (most recent call last)" in ended.out + ended.err:
        yield "a traceback is shown"
    if len(lines) > LINES:
        yield f"more than {LINES} lines on stderr, by {specimen.name}"
    if any(len(line) > WIDTH for line in lines):
        yield f"a line of more than {WIDTH} characters on stderr, by {specimen.name}: {_start(lines)}"
    if found := _OBEYED.search(ended.out + ended.err):
        yield f"the terminal obeys {found[0]!r}, by {specimen.name}"


def _start(lines: Sequence[str]) -> str:
    return ascii(next(line for line in lines if len(line) > WIDTH)[:60])


def _place(fault: BaseException | None) -> str:
    """The last function of spf that the error went through, and where it was raised."""
    frames = traceback.extract_tb(fault.__traceback__) if fault else []
    sources = tuple(str(ROOT / part) for part in ("spf_core", "plugins", "cli"))
    own = [frame for frame in frames if frame.filename.startswith(sources)]
    if not own:
        return "no function of spf"
    where = f"{Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno} {own[-1].name}"
    raised = (
        "" if own[-1] is frames[-1] else f", raised in {Path(frames[-1].filename).name} {frames[-1].name}"
    )
    return where + raised


def _changes(before: Mapping[str, str], after: Mapping[str, str], specimen: Specimen) -> Iterator[str]:
    """What a command changed although it may not: its input, or what lies outside its folder."""
    allowed = [Path("work", "in", pattern.removesuffix("/*")) for pattern in specimen.written]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name) or any(Path(name).is_relative_to(each) for each in allowed):
            continue
        way = "new" if name not in before else "gone" if name not in after else "other"
        if Path(name).parts[:2] == ("work", "in"):
            file = ascii(re.sub("[0-9]+", "N", Path(name).name))[:60]
            yield f"the input is changed by {specimen.name}: {way} {file}"
        elif not name.startswith("work"):
            yield f"a file elsewhere is changed by {specimen.name}"


def _fingerprints(place: Path) -> dict[str, str]:
    """What lies in the folder: kind and content of each file, without following links or opening pipes."""
    found = {}
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            content = str(path.readlink()) if path.is_symlink() else ""
            if stat.S_ISREG(mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest() if os.access(path, os.R_OK) else "?"
            found[os.path.relpath(path, place)] = f"{stat.S_IFMT(mode)} {content}"
    return found
