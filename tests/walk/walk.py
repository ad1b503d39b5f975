"""Walk `docs/tutorials/twenty-photos.md`: run each of its commands, in an empty environment with tiny models.

    python tests/walk/walk.py [NEW FOLDER]

The page is the script. A command must print what the page shows below it, where `...` stands for anything. It
must fail where the page shows an error or a problem, and nowhere else. The walk ends with exit code 1 at the
first thing that is not as the page says.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "twenty-photos.md"
sys.path[:0] = [str(ROOT / each) for each in ("tests/walk", "plugins", "cli", ".")]

from stand_in import write_hub, write_photos  # noqa: E402

END = "walked:"
EXPECTS_FAILURE = re.compile(r"^(error|problem): ", re.MULTILINE)
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class StumbledError(Exception):
    """Something is not as the page says."""


@dataclass(frozen=True)
class Step:
    """A command of the page, and what the page shows of its output."""

    command: str
    shown: str


def steps(page: str) -> Iterator[Step]:
    """The commands in the `console` blocks of the page; a block with a title is only for reading."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        joined = re.sub(r"\\\n *", "", block)  # a backslash continues a line
        for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Step(command, shown)


class Shell:
    """One bash, as a person has it: the folder and the environment stay from command to command."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command, whose input is empty."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\n{END} %d\\n' $?\n")
        self._bash.stdin.flush()
        lines: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(END):
                return int(line.split()[1]), "".join(lines).removesuffix("\n")
            lines.append(line)
        raise StumbledError(f"the shell ended: {command}")

    def close(self) -> None:
        """End the shell, and wait for it."""
        self._bash.communicate()


def checkout(folder: Path) -> None:
    """What a clone of the repository contains, with changes that are not committed yet."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def everything_is_installed(folder: Path) -> None:
    """Every file of the packages is in the environment: code, prompts, weights, styles and scripts."""
    project = tomllib.loads((folder / "spf" / "pyproject.toml").read_text(encoding="utf-8"))
    (site,) = (folder / "spf-venv").glob("lib/python*/site-packages")
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        source = folder / "spf" / package
        for file in filter(Path.is_file, source.rglob("*")):
            name = file.relative_to(source.parent)
            demand((site / name).is_file(), f"{name} is not installed")


def code_of_the_card(folder: Path) -> None:
    """Copy the code below "Handover", with the folder of the LoRA in its place, as the page asks."""
    card = (folder / "hat-lora" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card.partition("## Handover")[2], re.DOTALL)
    place = "THIS FOLDER OR REPOSITORY"
    demand(place in code, f"the code of the card has no place '{place}'")
    (folder / "draw.py").write_text(code.replace(place, "hat-lora"), encoding="utf-8")


def the_page_of_the_run_is_whole(folder: Path) -> None:
    """Every picture that the page of the run shows is there and can be opened."""
    run = folder / "runs" / "trial"
    sources = re.findall(r'<img[^>]* src="([^"]+)"', (run / "index.html").read_text(encoding="utf-8"))
    demand(bool(sources), "the page of the run shows no picture")
    for source in sources:
        picture(run / source)


def picture(file: Path) -> tuple[int, int]:
    """The size of a picture that is not of one colour."""
    from PIL import Image

    demand(file.is_file(), f"{file} is missing")
    with Image.open(file) as image:
        image.load()
        demand(any(low < high for low, high in image.convert("RGB").getextrema()), f"{file} is empty")
        return image.size


def demand(holds: bool, otherwise: str) -> None:
    """StumbledError with this sentence unless it holds."""
    if not holds:
        raise StumbledError(otherwise)


# What a person does by hand before a command, and looks at after it; a part of the command names it.
BEFORE: dict[str, Callable[[Path], None]] = {"python draw.py": code_of_the_card}
AFTER: dict[str, Callable[[Path], object]] = {
    "pip install": everything_is_installed,
    "--steps 12": the_page_of_the_run_is_whole,
    "spf sample": lambda folder: picture(folder / "hat.png"),
    "python draw.py": lambda folder: picture(folder / "portrait.png"),
}


def of(table: Mapping[str, Callable[[Path], object]], command: str) -> list[Callable[[Path], object]]:
    """What the table has for this command."""
    return [act for part, act in table.items() if part in command]


def walk(folder: Path) -> float:
    """All steps of the page in this new folder; the seconds that they took together."""
    write_photos(folder / "photos")
    write_hub(folder / "hub")
    checkout(folder / "spf")
    ours = ("PYTHON", "SPF_", "HF_", "VIRTUAL_ENV")  # of whoever walks, not of the user of the page
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    offline = {"HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "SPF_CACHE": str(folder / "cache")}
    shell = Shell(folder, inherited | offline | {"COLUMNS": "100"})
    began = time.monotonic()
    for step in steps(PAGE.read_text(encoding="utf-8")):
        take(step, shell, folder)
    shell.close()
    return time.monotonic() - began


def take(step: Step, shell: Shell, folder: Path) -> None:
    """One step with what is done by hand around it; StumbledError if it does not go as the page says."""
    for act in of(BEFORE, step.command):
        act(folder)
    print(f"$ {step.command}", flush=True)
    began = time.monotonic()
    code, output = shell.run(step.command)
    print(f"{output}[{time.monotonic() - began:.1f} s, exit code {code}]\n", flush=True)
    fails = bool(EXPECTS_FAILURE.search(step.shown))
    demand((code != 0) == fails, f"exit code {code}, but the page shows {'a' if fails else 'no'} failure")
    as_shown = not step.shown or doctest.OutputChecker().check_output(step.shown, output, SAME)
    demand(as_shown, f"the output is not what the page shows:\n{step.shown}")
    for look in of(AFTER, step.command):
        look(folder)


def main() -> int:
    """Walk in the folder given, or in a temporary one."""
    folder = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="walk-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        seconds = walk(folder)
    except StumbledError as stumbled:
        print(f"STUMBLED: {stumbled}")
        return 1
    print(f"the whole page: {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
