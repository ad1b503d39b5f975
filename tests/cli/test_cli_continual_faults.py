"""`spf continual` when something happens: killed, shared, or given what it cannot use."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks import report, write
from installing import PLUGIN_FILES

from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints, read_safetensors

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def continual(settings) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key != "seeds"}
    return {**kept, "targets": ["hat", "beard"], "presets": ["lora"], "evaluation": {"prompts": 2}}


def command(file: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "spf_cli", "continual", str(file), "--out", str(out), *more]


@pytest.mark.slow
def test_a_sequence_killed_in_its_second_stage_ends_as_if_nothing_had_happened(
    spf, continual, tmp_path: Path
) -> None:
    plugin, deadly = PLUGIN_FILES / "deadly.py", f"losses.deadly.count={tmp_path / 'count'}"
    changes = {
        "presets": [{"name": "lora", "preset": "lora", "set": [deadly]}],
        "steps": 2,
        "plugins": [str(plugin)],
        "set": [*continual["set"], "checkpoint.every=1"],
    }
    file, killed, whole = write(tmp_path / "f.yaml", {**continual, **changes}), tmp_path / "a", tmp_path / "b"
    only = ("--only", "lora/order-1", "--plugin", str(plugin))
    died = subprocess.run(command(file, killed, *only), capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    first, second = sorted((killed / "sequences/lora/order-1").glob("[12]-*"))
    assert (first / "evaluation").is_dir()
    assert [folder.name for folder in checkpoints(second / "run")] == ["step-000001"]
    for out in (killed, whole):
        done = spf("continual", file, "--out", out, *only)
        assert done.code == 0, done.err
    told = [line for line in done.out.splitlines() if " REC " in line]
    assert len(told) == 2
    for stage in (first, second):
        other = whole / stage.relative_to(killed) / "run"
        one, two = (read_safetensors(run / ADAPTER_FILE)[0] for run in (stage / "run", other))
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert [json.loads(line)["step"] for line in (second / "run" / "metrics.jsonl").open()] == [1, 2]


@pytest.mark.slow
def test_two_processes_share_the_sequences_and_a_killed_one_is_replaced(
    spf, continual, tmp_path: Path
) -> None:
    file, out = write(tmp_path / "small.yaml", continual), tmp_path / "out"
    with subprocess.Popen(command(file, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        while not (claims := list(out.rglob("claim-*"))) and other.poll() is None:
            time.sleep(0.02)
        other.send_signal(signal.SIGSTOP)
        (held,) = (claim.parent.relative_to(out / "sequences").as_posix() for claim in claims)
        beside = spf("continual", file, "--out", out)
        other.kill()
    assert beside.code == 0, beside.err
    assert f"process {other.pid}" in beside.out
    assert f" works on {held}\n" in beside.out
    assert "sequences not finished: 1;" in beside.out
    assert not (out / "results.json").exists()
    after = spf("continual", file, "--out", out)
    assert after.code == 0, after.err
    assert {line.split()[0] for line in after.out.splitlines() if " REC " in line and " E " in line} == {held}
    assert report(out)["missing"] == []
    assert not list(out.rglob("claim-*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": ["hat"]}, ("unknown option 'target'", "Did you mean 'targets'?")),
        ({"order": 3}, ("unknown option 'order'", "Did you mean 'orders'?")),
        ({"seeds": [0]}, ("unknown option 'seeds'", "Did you mean 'seed'?")),
        ({"evaluation": {"prompt": 3}}, ("evaluation.prompt", "Did you mean 'prompts'?")),
        ({"targets": ["hat"]}, ("targets", "at least 2 items")),
        ({"targets": ["hat", "hat"]}, ("'hat' is listed twice",)),
        ({"targets": ["hat", "beerd"]}, ("no target named 'beerd'", "Did you mean 'beard'?")),
        ({"orders": 2}, ("orders", "greater than or equal to 3")),
        ({"evaluation": {"targets": "some"}}, ("evaluation.targets", "'all' or 'learned'", "'some'")),
        ({"presets": ["loar"]}, ("no preset named 'loar'", "Did you mean 'lora'?")),
        ({"set": ["train.start_from=x"]}, ("presets.lora", "'train.start_from' cannot be set")),
        ({"set": ["train.seed=5"]}, ("presets.lora", "'train.seed' cannot be set")),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(
    spf, continual, tmp_path: Path, change, words
) -> None:
    file = write(tmp_path / "small.yaml", {**continual, **change})
    assert spf("continual", file, "--out", tmp_path / "out").fails_with(*words)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_and_an_unknown_pattern_are_refused(
    spf, continual, tmp_path: Path
) -> None:
    file, folder = write(tmp_path / "small.yaml", continual), tmp_path / "mine"
    folder.mkdir()
    (folder / "benchmark.yaml").write_text("suite: portraits")
    assert spf("continual", file, "--out", folder).fails_with("not empty and no continual protocol's folder")
    assert spf("continual", file, "--out", folder, "--report-only").fails_with("it has no continual.yaml")
    assert spf("continual", file, "--out", folder / "benchmark.yaml").fails_with("is a file")
    refused = spf("continual", file, "--out", folder, "--only", "lora/order-9")
    assert refused.fails_with("--only lora/order-9", "lora/order-1, lora/order-2")
    assert [item.name for item in folder.iterdir()] == ["benchmark.yaml"]
