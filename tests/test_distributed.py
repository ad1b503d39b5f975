"""Two processes of a launcher train one run, as one process does that accumulates twice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from installing import PLUGIN_FILES
from test_trainer import noise_folder

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints, read_safetensors
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics

pytestmark = pytest.mark.slow
WORKER = Path(__file__).with_name("distributed_worker.py")
FAST = ("train.batch_size=2", "checkpoint.every=2", "sample.every=0", "sample.steps=2")
CASES = {
    "lora": ("lora", ("adapter.text_encoder=true", "optimizer.text_encoder_learning_rate=1e-4")),
    "spf-paper": ("spf-paper", ("losses.text-consistency.start=0", "losses.fine-grained.start=0")),
    "memory": (
        "spf-paper",
        (
            "control_map=sfcm-v2",
            "losses.fine-grained.start=0",
            "train.batch_size=1",
            "train.ema_decay=0.9",
            "train.seed=1",
        ),
    ),
    "adalora": ("adalora", ("adapter.warmup=0", "adapter.settle=0.25", "adapter.every=1")),
}
STEPS = 4


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")


def launch(launcher: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine; none may hang."""
    command = [sys.executable, "-m", *launcher, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def settings(
    plugins: Plugins, name: str, tiny: Path, data: Path, *more: str, steps: int = STEPS
) -> RunConfig:
    preset, own = CASES[name]
    return load_run_config(
        plugins,
        preset=preset,
        overrides={"data": str(data), "train": {"steps": steps}},
        assignments=[f"backbone.path={tiny}", *FAST, *own, *more],
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins, tiny_folder: Path) -> Path:
    """runs/NAME by two processes, runs/resumed by two that lost half of it, alone/NAME by one."""
    torch.set_num_threads(1)  # as the launchers do: sums of two threads round otherwise
    folder = tmp_path_factory.mktemp("together")
    data = folder / "data"
    data.mkdir()
    noise_folder(data)
    jobs: list[dict[str, Any]] = []
    for name in CASES:
        config = settings(plugins, name, tiny_folder, data)
        (folder / f"{name}.yaml").write_text(config.dump())
        job = {"config": f"{folder}/{name}.yaml", "run": f"{folder}/runs/{name}"}
        jobs.append({**job, "resume": False, "remove": []})
        train(
            settings(plugins, name, tiny_folder, data, "train.accumulation=2"),
            folder / "alone" / name,
            plugins,
        )
    half = {**jobs[2], "run": f"{folder}/runs/resumed"}
    last = [f"{half['run']}/checkpoints/step-000004", f"{half['run']}/{ADAPTER_FILE}"]
    (folder / "jobs.json").write_text(json.dumps([*jobs, half, {**half, "resume": True, "remove": last}]))
    done = launch(TORCHRUN, WORKER, folder / "jobs.json")
    assert done.returncode == 0, done.stderr
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_safetensors(run / ADAPTER_FILE)[0]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_are_one_that_accumulates_twice(both: Path, name: str) -> None:
    pair, alone = weights(both / "runs" / name), weights(both / "alone" / name)
    assert pair.keys() == alone.keys()
    for key, tensor in pair.items():
        torch.testing.assert_close(tensor, alone[key], rtol=1e-5, atol=1e-7)
    parts = [checkpoints(both / where / name)[-1] / "parts.safetensors" for where in ("runs", "alone")]
    assert parts[0].exists() == parts[1].exists() == (name in {"memory", "adalora"})
    if parts[0].exists():
        held, expected = (read_safetensors(file)[0] for file in parts)
        assert held.keys() == expected.keys()
        for key, tensor in held.items():
            torch.testing.assert_close(tensor, expected[key], rtol=1e-4, atol=1e-6)


def test_logged_values_are_means_and_one_line_a_step(both: Path) -> None:
    pair, alone = (read_metrics(both / where / "lora") for where in ("runs", "alone"))
    assert [line["step"] for line in pair] == [1, 2, 3, 4]
    for line, other in zip(pair, alone, strict=True):
        assert line["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-5)
    assert any(
        line["loss"] != pytest.approx(other["loss"]) for line, other in zip(pair, alone, strict=True)
    ), "one process logs its last pass"


def test_two_processes_resume_bit_identically(both: Path) -> None:
    whole, resumed = (weights(both / "runs" / name) for name in ("memory", "resumed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_one_process_may_go_on_where_two_began_and_is_told(
    both: Path, tiny_folder: Path, plugins: Plugins, caplog: pytest.LogCaptureFixture
) -> None:
    run = both / "runs" / "lora"
    assert read_safetensors(run / ADAPTER_FILE)[1]["spf_processes"] == "2"
    copy = both / "fewer"
    shutil.copytree(run, copy)
    config = settings(plugins, "lora", tiny_folder, both / "data", steps=STEPS + 1)
    train(config, copy, plugins, resume=True)
    assert "2 process(es) trained the run so far, and 1 continue it" in caplog.text
    assert "spf_processes" not in read_safetensors(copy / ADAPTER_FILE)[1]


def test_the_main_process_alone_writes(both: Path) -> None:
    assert json.loads((both / "written-1.json").read_text()) == []
    written = json.loads((both / "written-0.json").read_text())
    assert any("metrics.jsonl" in line for line in written)
    assert any("adapter.safetensors" in line for line in written)


def test_under_accelerate_a_fault_of_one_process_ends_all_with_one_line(
    both: Path, tiny_folder: Path
) -> None:
    run = both / "failed"
    options = [
        "--preset",
        "lora",
        "--steps",
        STEPS,
        "--plugin",
        PLUGIN_FILES / "failing.py",
        "--set",
        f"backbone.path={tiny_folder}",
    ]
    more = [part for setting in (*FAST, "train.device=cpu") for part in ("--set", setting)]
    done = launch(
        ACCELERATE, "-m", "spf_cli", "train", "--data", both / "data", "--out", run, *options, *more
    )
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert errors[0].endswith(" failed in the step: no picture here; bring one (process 2 of 2)"), errors[0]
    assert "training 2/4" in done.stderr
    assert "training 3/4" not in done.stderr
    assert done.stderr.count("training 1/4") == 1, "the main process alone shows how far it is"
    assert [path.name for path in checkpoints(run)] == ["step-000002"]
    assert not list(run.glob("lock-*"))


SLOW = """
import os, sys, time
from spf_cli.main import main

time.sleep(4 * (os.environ["LOCAL_RANK"] == "0"))
main(sys.argv[1:])
"""


def test_other_commands_are_not_for_a_launcher(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    done = launch(TORCHRUN, slow, "doctor")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "not for spf doctor; start it without them" in errors[0]
