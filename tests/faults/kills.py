"""`make test-faults`: training killed at random moments and while it saves, then resumed: the same bits.

Not part of `make test`: every kill starts a new process. SPF_KILLS is their number, SPF_KILL_SEED the seed.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints, read_safetensors
from spf_core.training.run_log import METRICS_FILE, read_metrics

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_trainer import noise_folder

KILLS = int(os.environ.get("SPF_KILLS", "20"))
SEED = int(os.environ.get("SPF_KILL_SEED", "0"))
SAVES = max(2, KILLS // 4)
STEPS = 12 * KILLS + 10
SETTINGS = (
    "control_map=sfcm-v2",
    "losses.fine-grained.start=0",
    "train.noise_share=0.3",
    "train.ema_decay=0.9",
    "train.batch_size=2",
    "optimizer.schedule=cosine",
    "checkpoint.every=5",
    "sample.every=0",
    "sample.steps=2",
    "calibration.enabled=false",
)


def command(tiny: Path, folder: Path, run: Path) -> list[str]:
    """A new run, or `run` continued where it has begun."""
    spf = [sys.executable, "-m", "spf_cli", "train", "--out", str(run)]
    if (run / "config.yaml").exists():
        return [*spf, "--resume"]
    options = ["--preset", "spf-paper", "--data", str(folder), "--steps", str(STEPS)]
    assignments = [f"backbone.path={tiny}", *SETTINGS]
    return [*spf, *options, *(part for setting in assignments for part in ("--set", setting))]


def finish(tiny: Path, folder: Path, run: Path) -> dict[str, Any]:
    """Train to the end in a process of its own; returns the weights."""
    done = subprocess.run(command(tiny, folder, run), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_safetensors(run / ADAPTER_FILE)[0]


def killed(tiny: Path, folder: Path, run: Path, now: Callable[[], bool]) -> bool:
    """Train until `now`, then SIGKILL; whether the process was still at work."""
    with subprocess.Popen(
        command(tiny, folder, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not now():
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def steps_of(run: Path) -> int:
    file = run / METRICS_FILE
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(tiny_folder: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finish(tiny_folder, folder, tmp_path_factory.mktemp("undisturbed") / "run")


def check(run: Path, weights: dict[str, Any], expected: dict[str, Any]) -> None:
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert [line["step"] for line in read_metrics(run)] == list(range(1, STEPS + 1))
    assert not list(run.glob("lock-*"))
    assert not list(run.glob("checkpoints/.*")), "what was half-written is swept away"


def test_killed_at_random_moments_and_resumed_it_ends_with_the_same_bits(
    tiny_folder: Path, folder: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    moments, run = random.Random(SEED), tmp_path / "run"
    for number in range(KILLS):
        saved = checkpoints(run)
        last = int(saved[-1].name.removeprefix("step-")) if saved else 0
        wanted, pause = last + moments.randint(0, 12), moments.uniform(0, 0.2)

        def now(wanted: int = wanted, pause: float = pause) -> bool:
            reached = steps_of(run) >= wanted  # at once, where the log knows steps that no checkpoint does
            if reached:
                time.sleep(pause)
            return reached

        assert killed(tiny_folder, folder, run, now), "it ended before its moment"
        print(f"kill {number + 1}: last checkpoint {last}, log at {steps_of(run)}")
    check(run, finish(tiny_folder, folder, run), undisturbed)


def test_killed_while_it_saves_and_resumed_it_ends_with_the_same_bits(
    tiny_folder: Path, folder: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    run, moments, left = tmp_path / "run", random.Random(SEED), []
    for number in range(SAVES):
        known, pause = set(run.glob("checkpoints/.step-*")), moments.uniform(0, 0.01)

        def now(known: set[Path] = known, pause: float = pause) -> bool:
            saving = not known >= set(run.glob("checkpoints/.step-*"))
            if saving:
                time.sleep(pause)
            return saving

        assert killed(tiny_folder, folder, run, now), "it ended without a save that could be seen"
        left.append(len(list(run.glob("checkpoints/.step-*"))))
        print(f"kill {number + 1}: {[path.name for path in checkpoints(run)]}, {left[-1]} half-written")
    assert any(left), "no kill hit a save"
    check(run, finish(tiny_folder, folder, run), undisturbed)
