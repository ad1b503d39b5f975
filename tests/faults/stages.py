"""`make test-faults`: a run killed in each stage and resumed ends with the same bits as one left alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from spf_core.runs.checkpoint import ADAPTER_FILE, read_safetensors

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_trainer import noise_folder

# Trains the run, or goes on with it, and kills itself at the n-th report of a stage or write of a file.
CHILD = """
import json, os, signal, sys
from pathlib import Path
from spf_core.utils import atomic
from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.run import saved_config
from spf_core.training.loop import train

run, overrides, assignments, stage, written, count = json.loads(sys.argv[1])
left = [count]

def at(hit):
    left[0] -= hit
    if hit and left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def progress(name, done, total, **values):
    at(stage is not None and stage in name)

replace = Path.replace

def replaced(self, target):
    at(written is not None and Path(target).name == written)
    return replace(self, target)

Path.replace = replaced
plugins, run = load_plugins(), Path(run)
resume = (run / "config.yaml").is_file()
if resume:
    config = saved_config(run, plugins, trains=True)
else:
    config = load_run_config(plugins, preset="spf-paper", overrides=overrides, assignments=assignments)
train(config, run, plugins, resume=resume, progress=progress)
"""
SETTINGS = (
    "control_map=sfcm-v2",
    "losses.fine-grained.start=0",
    "counterfactuals.enabled=true",
    "train.noise_share=0.5",
    "reference.name=bank",
    "reference.states=2",
    "train.ema_decay=0.9",
    "train.batch_size=2",
    "train.device=cpu",
    "checkpoint.every=2",
    "sample.every=2",
    "sample.steps=2",
    "calibration.enabled=true",
    "calibration.prompts=2",
)
MOMENTS: dict[str, tuple[str | None, str | None, int]] = {
    "preparation": ("encoding", None, 2),
    "counterfactuals": ("counterfactuals", None, 2),
    "states": ("trajector", None, 2),
    "bank": ("reference states", None, 2),
    "configuration": (None, "config.yaml", 1),
    "training": ("training", None, 4),
    "samples": (None, "step-000002-grid.png", 1),
    "checkpoint, first file": (None, "optimizer.safetensors", 2),
    "checkpoint, last moment": (None, "step-000004", 1),
    "calibration": ("calibrat", None, 2),
    "weights": (None, ADAPTER_FILE, 3),
    "file for other programs": (None, "run.safetensors", 1),
}


def start(
    tiny: Path, folder: Path, run: Path, stage: str | None = None, written: str | None = None, count: int = 1
) -> subprocess.CompletedProcess[str]:
    overrides = {"data": str(folder), "train": {"steps": 4}}
    arguments = [str(run), overrides, [f"backbone.path={tiny}", *SETTINGS], stage, written, count]
    command = [sys.executable, "-c", CHILD, json.dumps(arguments)]
    own = {**os.environ, "SPF_CACHE": str(run.parent / "cache")}  # what another run kept skips a stage
    return subprocess.run(command, capture_output=True, text=True, check=False, env=own)


def weights(run: Path) -> dict[str, Any]:
    return read_safetensors(run / ADAPTER_FILE)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(tiny_folder: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    done = start(tiny_folder, folder, run)
    assert done.returncode == 0, done.stderr
    return run


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_a_stage_and_resumed_it_ends_with_the_same_bits(
    tiny_folder: Path, folder: Path, undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    run = tmp_path / "run"
    killed = start(tiny_folder, folder, run, *MOMENTS[moment])
    assert killed.returncode == -signal.SIGKILL, f"it never came to {moment}: {killed.stderr}"
    done = start(tiny_folder, folder, run)
    assert done.returncode == 0, done.stderr
    found, expected = weights(run), weights(undisturbed)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    left = [str(file.relative_to(run)) for file in run.rglob(".*")]
    assert left == [], "what was half-written is swept away"
