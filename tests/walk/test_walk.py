"""The page "Twenty photos on SDXL" is walked as it is written, and the walk notices when it is wrong."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from walk import PAGE, Shell, Step, StumbledError, steps, take

WALK = Path(__file__).with_name("walk.py")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    opened = Shell(tmp_path, {"PATH": "/usr/bin:/bin"})
    yield opened
    opened.close()


def test_a_shell_keeps_its_folder_and_variables(tmp_path: Path, shell: Shell) -> None:
    for command, shown in (("mkdir a && cd a", ""), ("hat=red", ""), ("echo $hat; pwd", "red\n.../a\n")):
        take(Step(command, shown), shell, tmp_path)


@pytest.mark.parametrize(
    ("command", "shown", "said"),
    [
        ("false", "", "exit code 1, but the page shows no failure"),
        ("echo hat", "error: no hat\n", "exit code 0, but the page shows a failure"),
        ("echo red hat", "blue ...\n", "is not what the page shows"),
    ],
)
def test_what_is_not_as_on_the_page_ends_the_walk(
    tmp_path: Path, shell: Shell, command: str, shown: str, said: str
) -> None:
    with pytest.raises(StumbledError, match=said):
        take(Step(command, shown), shell, tmp_path)


def test_the_walk_takes_every_command_of_the_page_but_the_full_training() -> None:
    page = PAGE.read_text(encoding="utf-8")
    walked = [step.command for step in steps(page)]
    typed = [line[2:] for line in re.sub(r"\\\n *", "", page).splitlines() if line.startswith("$ ")]
    (left_out,) = [line for line in typed if line not in walked]
    assert left_out.startswith("spf train --backbone sdxl --plugin sfcm-v2 --data ./photos")


@pytest.mark.slow
def test_every_command_of_the_page_does_what_the_page_shows(tmp_path: Path) -> None:
    """In an empty environment, with tiny models; `tests/walk/walk.py` prints every step and its time."""
    done = subprocess.run(
        [sys.executable, WALK, tmp_path / "walk"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    shutil.rmtree(tmp_path / "walk")  # an environment with PyTorch is large
