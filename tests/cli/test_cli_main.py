"""The command as a whole: help, speed, and one line for every fault."""

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import pytest
from installing import installed

from spf_cli.app import build_app

HEAVY = ("torch", "diffusers", "transformers", "matplotlib")
COMMANDS = ("demo", "train", "sample", "evaluate", "data", "plugins", "config")


def imported_by(*args: str) -> set[str]:
    code = (
        "import sys\nfrom spf_cli.main import main\n"
        f"try:\n    main({list(args)!r})\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('imported:', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize(
    "args",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("data", "--help"),
        ("plugins", "list"),
        ("config", "show"),
    ],
    ids=" ".join,
)
def test_looking_around_never_imports_torch(args: tuple[str, ...]) -> None:
    assert imported_by(*args) == set()


def test_help_imports_no_component() -> None:
    """What makes it slow; `tests/bench/help_time.py` prints the seconds."""
    unread = (
        "spf_plugins",
        "spf_portraits",
        "spf_lab.metrics",
        "spf_lab.evaluation",
        "spf_core.config",
        "yaml",
    )
    code = f"""
import sys
from spf_cli.main import main
try:
    main(["--help"])
finally:
    print("imported:", *[name for name in sys.modules if name.startswith({unread})])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rpartition("imported:")[2].split() == []


def test_help_breaks_paragraphs_where_the_terminal_does(spf) -> None:
    lines = [line.strip() for line in spf("evaluate", "--help").out.splitlines()]
    first = next(number for number, line in enumerate(lines) if line.startswith("Under torchrun"))
    paragraph = lines[first : lines.index("", first)]
    for line, following in pairwise(paragraph):
        assert len(line) + 1 + len(following.split()[0]) > 78, "its first word had room on this line"


def completed(words: str, folder: Path) -> list[str]:
    """What bash offers for the last of the words; importing torch fails."""
    code = "import sys; sys.modules['torch'] = None; from spf_cli.main import main; main()"
    given = {"_SPF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, **given},
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_names_and_plugin_files(tmp_path: Path) -> None:
    (tmp_path / "sfcm_mine.py").write_text("")
    (tmp_path / "sfcm.txt").write_text("")
    (tmp_path / "sfcm-maps").mkdir()
    assert completed("spf train --backbone sd", tmp_path) == ["sd15", "sd3", "sdxl"]
    presets = completed("spf train --preset spf-", tmp_path)
    assert "spf-paper" in presets
    assert all(name.startswith("spf-") for name in presets)
    assert completed("spf config show --plugin sfcm", tmp_path) == [
        *("sfcm-counterfactual", "sfcm-v1", "sfcm-v2"),
        *("sfcm-maps/", "sfcm_mine.py"),
    ]
    named = ["clip-direct", "clip-direct-supervision", "clip-direction"]
    assert completed("spf plugins show clip-dir", tmp_path) == named
    assert completed("spf evaluate run --score lpi", tmp_path) == ["lpips"]


def test_help_names_every_command(spf) -> None:
    shown = spf("--help")
    assert shown.code == 0
    assert [name for name in COMMANDS if name not in shown.out] == []


@pytest.mark.parametrize("group", ["", "data", "plugins", "config"])
def test_a_group_without_a_command_shows_its_help(spf, group: str) -> None:
    shown = spf(*group.split())
    assert shown.code == 0
    assert "Usage: spf" in shown.out


def test_version(spf) -> None:
    from spf_core import __version__

    first, *lines = spf("--version").out.splitlines()
    assert first == f"spf {__version__}"
    named = ["python", "platform", "torch", "diffusers", "transformers", "peft"]
    assert [line.split(" ")[0] for line in lines[: len(named)]] == named
    assert f"python {platform.python_version()}" in lines
    assert f"torch {version('torch')}" in lines


def test_the_version_names_packages_of_others_and_not_spf(spf) -> None:
    with installed():
        assert spf("--version").out.splitlines()[-1] == "plugin of-a-test 1.0"
    assert "plugin spf" not in spf("--version").out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("trian",), ("'trian'", "Did you mean 'train'?")),
        (("train", "--stepz", "3"), ("--stepz",)),
        (("train",), ("--data",)),
        (("evaluate", "run"), ("--out", "`spf evaluate --help`")),
        (("train", "--out", "x", "--steps", "0"), ("--steps",)),
        (("sample", "run", "--prompt", "a", "--out", "x.png", "--strength", "-1"), ("--strength",)),
        (("evaluate", "run", "--out", "x", "--split", "train"), ("--split",)),
        (("data", "landscapes"), ("'landscapes'",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_usage_is_one_line(spf, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert spf(*args).fails_with(*words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_no_space_left_is_one_line() -> None:
    command = [sys.executable, "-m", "spf_cli", "config", "schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device; free some space and run the command again\n"


def test_an_output_below_a_file_is_one_line(spf, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "set"
    assert spf("data", "portraits", "--target", "sunglasses", "--count", 1, "--out", out).fails_with("file")


def test_a_broken_plugin_is_named_and_the_rest_works(tmp_path: Path) -> None:
    (tmp_path / "broken_spf.py").write_text("raise RuntimeError('no such\\nlibrary')")
    info = tmp_path / "broken_spf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-spf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spf]\nbroken = broken_spf\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "spf_cli", "plugins", "list"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0
    assert "text-consistency" in done.stdout
    assert "failed: RuntimeError: no such library." in done.stdout
    shown = subprocess.run(
        [*command[:-2], "config", "show"], capture_output=True, text=True, env=environment, check=False
    )
    assert shown.stderr.startswith("warning: plugin 'broken' is skipped: RuntimeError: no such library.")
    silenced = {**environment, "SPF_DISABLED_PLUGINS": "broken"}
    assert (
        "failed"
        not in subprocess.run(command, capture_output=True, text=True, env=silenced, check=True).stdout
    )


def test_a_command_line_that_is_built_again_calls_no_deeper() -> None:
    def depth() -> int:
        (group,) = [each for each in build_app().registered_groups if each.name == "config"]
        callback, count = group.typer_instance.registered_commands[0].callback, 0
        while hasattr(callback, "__wrapped__"):
            callback, count = callback.__wrapped__, count + 1
        return count

    assert depth() == depth() == depth()
