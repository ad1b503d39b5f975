"""A run folder is trained by one process at a time; those of the dead are free."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.file_locks import claimed, holder

pytestmark = pytest.mark.slow

ENDLESS = ("--steps", 100_000, "--set", "checkpoint.every=1", "--set", "sample.every=0", "--preset", "lora")


@pytest.fixture
def options(data: Path, tiny: list[str]) -> list[str]:
    return [str(part) for part in ("train", "--data", data, *ENDLESS, *tiny)]


@contextmanager
def training(options: list[str], out: Path) -> Iterator[int]:
    """A process in the middle of its training, stopped but alive; killed at the end."""
    command = [sys.executable, "-m", "spf_cli", *options, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(out.glob("checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGSTOP)
        yield process.pid
        process.kill()


def test_a_second_process_is_refused_and_a_dead_one_replaced(spf, options: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with training(options, run) as pid:
        (before,) = run.glob("lock-*")
        refused = spf("train", "--resume", "--out", run)
        assert refused.fails_with(f"'{run}' is being trained by ", f"process {pid}", "another --out")
        assert list(run.glob("lock-*")) == [before]
    assert before.exists(), "the dead leave their lock"
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("steps: 100000", "steps: 1"))
    resumed = spf("train", "--resume", "--out", run)
    assert resumed.code == 0, resumed.err
    assert (run / ADAPTER_FILE).is_file()
    assert not list(run.glob("lock-*"))


@pytest.mark.parametrize("moment", ["while holding the folder", "while writing its name"])
def test_what_is_left_of_a_process_that_died_at_its_start_is_no_run(
    spf, data: Path, tiny: list[str], tmp_path: Path, moment: str
) -> None:
    run = tmp_path / "run"
    dead = subprocess.Popen([sys.executable, "-c", DIE, str(run), moment])
    assert dead.wait() == -signal.SIGKILL
    assert [file.name.lstrip(".")[:6] for file in run.iterdir()] == ["lock-0"]
    done = spf("train", "--data", data, "--out", run, "--steps", 1, "--preset", "lora", *tiny)
    assert done.code == 0, done.err
    assert not list(run.glob("lock-*"))


def test_without_hard_links_a_folder_is_still_held_by_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", raise_unsupported)
    with claimed(tmp_path) as first, claimed(tmp_path) as second:
        assert first is not None
        assert second is None
        assert holder(tmp_path).endswith(f"process {os.getpid()}")
    assert not list(tmp_path.iterdir())


def raise_unsupported(*_args: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_claim_that_is_being_written_holds(spf, data: Path, tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "lock-0").write_text("{")
    held = spf("train", "--data", data, "--out", run, "--steps", 1, "--preset", "lora", *tiny)
    assert held.fails_with("is being trained by unknown host"), "it may be about to write its name"


DIE = """
import os, signal, sys
from pathlib import Path
from spf_core.runs.run_lock import locked
from spf_core.utils.progress import silent

def die(*_args, **_keywords):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "while writing its name":
    os.fdopen = die
with locked(Path(sys.argv[1]), silent):
    die()
"""


def test_what_a_killed_process_left_half_written_does_not_count_and_is_swept(
    spf, data: Path, tiny: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    left = [run / ".config.yaml-4711", run / ".adapter.safetensors-4711"]
    for file in left:
        file.write_text("half")
    done = spf("train", "--preset", "lora", "--data", data, "--out", run, "--steps", "1", *tiny)
    assert done.code == 0, done.err
    assert not any(file.exists() for file in left)
