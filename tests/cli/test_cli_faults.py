"""Every command ends with one line and an exit code: 2 for the faults of users, 3 for those of spf."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spf_core.config.run_config import RunConfig
from spf_core.plugins.containment import remember_used

SPF = [sys.executable, "-m", "spf_cli"]


class MuteError(Exception):
    """An error that fails when it is shown."""

    def __str__(self) -> str:
        raise RuntimeError("cannot say")


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let `spf config show` meet `error`; logs go below `tmp_path`."""

    def fail(*args: object, **options: object) -> str:
        raise error

    monkeypatch.setattr(RunConfig, "dump", fail)
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))


def only_log(tmp_path: Path) -> Path:
    (log,) = (tmp_path / "cache" / "logs").iterdir()
    return log


@pytest.mark.parametrize(
    "error",
    [
        TypeError("unsupported operand"),
        AssertionError(),
        RecursionError("maximum recursion depth exceeded"),
        OSError("no number, no file"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        ValueError("x" * 100_000 + "\x1b[31m"),
        MuteError(),
        BaseExceptionGroup("several", [KeyError("first"), KeyError("second")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_spf_is_one_line_with_the_log_and_exit_code_3(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException
) -> None:
    failing_with(error, monkeypatch, tmp_path)
    ended = spf("config", "show")
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert len(ended.err) < 600
    assert ended.err.startswith("error: spf has a bug: ")
    log = only_log(tmp_path)
    assert str(log) in ended.err
    content = log.read_text(encoding="utf-8")
    assert "Traceback" in content
    assert "torch 2" in content


def test_a_fault_with_a_component_of_others_in_use_names_it(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*args: object, **options: object) -> str:
        remember_used("suite 'mine' of plugin 'my-package' 1.2")
        raise TypeError("'NoneType' object is not iterable")

    failing_with(TypeError(), monkeypatch, tmp_path)
    monkeypatch.setattr(RunConfig, "dump", fail)
    ended = spf("config", "show")
    assert ended.fails_with(
        "TypeError: 'NoneType' object is not iterable, in spf's own code",
        "after it used suite 'mine' of plugin 'my-package' 1.2. What that returned may be wrong",
        "try spf plugins check NAME",
        str(only_log(tmp_path)),
    )


def test_where_no_log_can_be_written_the_line_says_how_to_see_the_details(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing_with(TypeError("x"), monkeypatch, tmp_path)
    (tmp_path / "cache").write_text("a file where the folder would be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    ended = spf("config", "show")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    assert "SPF_DEBUG=1" in ended.err


@pytest.mark.parametrize("shape", [(2**60,), (2**63 - 1, 64)], ids=["too much", "beyond counting"])
def test_memory_that_torch_cannot_have_is_a_fault_of_the_machine(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(shape)
    failing_with(refused.value, monkeypatch, tmp_path)
    assert spf("config", "show").fails_with("the memory is used up", "choose smaller settings")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("error", [TypeError("x"), FileNotFoundError(errno.ENOENT, "No such file", "x")])
def test_debugging_shows_the_traceback_of_every_fault(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    failing_with(error, monkeypatch, tmp_path)
    monkeypatch.setenv("SPF_DEBUG", "1")
    shown = spf("config", "show").err
    assert "Traceback" in shown
    assert f"raise {'error'}" in shown


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "gone.png"), "'gone.png'"),
        (OSError(errno.EIO, "Input/output error", "disk.bin"), "'disk.bin'; check the path"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 999), "give a shorter name"),
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (MemoryError(), "memory"),
        (ImportError("libcudart.so.12: cannot open", name="torch"), "'torch' cannot be imported"),
        (ExceptionGroup("both", [PermissionError(errno.EACCES, "Permission denied", "a")]), "'a'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_of_the_machine_names_the_place_and_a_way_out(
    spf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, words: str
) -> None:
    failing_with(error, monkeypatch, tmp_path)
    assert spf("config", "show").fails_with(words)
    assert not (tmp_path / "cache").exists()


NAMES = ["[/red]", "[bold]x[/bold]", ":smile:", "x" * 300, "\udcff\udcfe", "\x1b[31mred", "a\nb", "-", " "]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize(
    "command",
    [
        ("data", "check", "{}"),
        ("config", "show", "--config", "{}"),
        ("config", "show", "--preset", "{}"),
        ("config", "show", "--backbone", "{}"),
        ("config", "show", "--plugin", "{}"),
        ("config", "show", "--set", "{}"),
        ("config", "show", "--set", "train.device='{}'"),
        ("config", "show", "--set", "train.{}=1"),
        ("plugins", "show", "{}"),
        ("sample", "{}", "--prompt", "a", "--out", "x.png"),
        ("report", "{}"),
        ("{}",),
    ],
    ids=" ".join,
)
def test_names_are_plain_text(spf, command: tuple[str, ...], name: str) -> None:
    ended = spf(*(part.format(name) for part in command))
    assert ended.code == 2, ended
    assert ended.err.count("\n") <= 3
    assert "\x1b" not in ended.out + ended.err
    if name.startswith(("[", ":")):
        assert name in ended.out + ended.err


@pytest.mark.parametrize("name", ["ü", "\udcff"], ids=ascii)
def test_a_terminal_of_another_encoding_is_written_to(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*SPF, "data", "check", os.fsencode(name)], capture_output=True, env=environment)
    assert done.returncode == 2
    assert b"does not exist" in done.stderr
    assert done.stderr.isascii()


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_closed_stream_changes_no_exit_code(closed: str) -> None:
    for command, code in (("config show", 0), ("config show --set x", 2)):
        line = f"exec {sys.executable} -m spf_cli {command} {closed}"
        done = subprocess.run(["sh", "-c", line], capture_output=True)
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_fault() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*SPF, "config", "schema"], stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
