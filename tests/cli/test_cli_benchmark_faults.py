"""`spf benchmark` when something happens: killed, interrupted, shared, or given what it cannot use."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks import STRONG, cell_lines, finished_cells, report, write
from installing import PLUGIN_FILES, installed

from spf_core.interfaces import Term
from spf_core.plugins import LossConfig
from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints

pytestmark = pytest.mark.usefixtures("cache")


class Broken(LossConfig):
    """Is not a number."""

    name = "broken"

    def build(self) -> Term:
        return lambda state: state.response.pred_BCHW.mean() * float("nan")


@pytest.mark.slow
def test_two_processes_share_the_cells_and_a_killed_one_is_replaced(spf, settings, tmp_path: Path) -> None:
    file, out = write(tmp_path / "small.yaml", {**settings, "seeds": [0]}), tmp_path / "out"
    cells = ["hat/lora/seed-0", "hat/strong/seed-0"]
    command = [sys.executable, "-m", "spf_cli", "benchmark", str(file), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        while not (claims := list(out.glob("cells/*/*/*/claim-*"))) and other.poll() is None:
            time.sleep(0.02)
        other.send_signal(signal.SIGSTOP)
        (held,) = (claim.parent.relative_to(out / "cells").as_posix() for claim in claims)
        beside = spf("benchmark", file, "--out", out)
        other.kill()
    assert beside.code == 0, beside.err
    assert f"process {other.pid}" in beside.out
    assert f" works on {held}\n" in beside.out
    assert finished_cells(out) == [cell for cell in cells if cell != held]
    assert not (out / "results.json").exists()
    after = spf("benchmark", file, "--out", out)
    assert after.code == 0, after.err
    assert cell_lines(after.out) == [held]
    assert finished_cells(out) == cells
    assert report(out)["missing"] == []
    assert not list(out.rglob("claim-*"))


def test_ctrl_c_says_how_to_continue_and_the_same_command_does(spf, settings, tmp_path: Path) -> None:
    once = ("losses.stop.start=0.5", f"losses.stop.mark={tmp_path / 'stopped'}")
    plugin, stopping = PLUGIN_FILES / "stop.py", {"name": "stopping", "preset": "lora", "set": list(once)}
    changes = {"presets": [stopping], "seeds": [0], "steps": 4, "plugins": [str(plugin)]}
    file, out = write(tmp_path / "small.yaml", {**settings, **changes}), tmp_path / "out"
    command = ("benchmark", file, "--out", out, "--plugin", plugin)
    stopped = spf(*command)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1].startswith("error: interrupted; ")
    assert stopped.err.splitlines()[-1].endswith(f"Continue with: spf {' '.join(map(str, command))}")
    run = out / "cells/hat/stopping/seed-0/run"
    assert [folder.name for folder in checkpoints(run)] == ["step-000003"], "the step is finished first"
    assert not list(out.rglob("claim-*"))
    assert spf(*command).code == 0
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] == [1, 2, 3, 4]
    assert (run / ADAPTER_FILE).is_file()


def test_a_cell_that_fails_is_named_and_the_others_run(spf, settings, tmp_path: Path) -> None:
    failing = {"name": "failing", "preset": "lora", "set": ["losses.broken.weight=1"]}
    changes = {"presets": [failing, "lora"], "seeds": [0]}
    file, out = write(tmp_path / "small.yaml", {**settings, **changes}), tmp_path / "out"
    command = ("benchmark", file, "--out", out)
    with installed(Broken):
        done = spf(*command)
        chosen = spf(*command, "--only", "hat/l*")
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith("error: cell hat/failing/seed-0: 'broken' became nan in step 1")
    assert finished_cells(out) == ["hat/lora/seed-0"]
    assert chosen.code == 0, "the failing cell was not chosen"
    assert "cells not finished: 1;" in chosen.out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": ["hat"]}, ("unknown option 'target'", "Did you mean 'targets'?")),
        ({"evaluation": {"prompt": 3}}, ("evaluation.prompt", "Did you mean 'prompts'?")),
        ({"presets": [{"preset": "lora", "sets": []}]}, ("unknown option 'sets'", "Did you mean 'set'?")),
        ({"presets": [{"preset": "lora", "seeds": [7]}]}, ("'lora' lists 7", "none of the seeds: 0")),
        ({"presets": [{"preset": "lora", "targets": ["hut"]}]}, ("'hut'", "none of the targets: hat")),
        ({"targets": []}, ("targets", "at least 1 item")),
        ({"presets": []}, ("presets", "at least 1 item")),
        ({"seeds": []}, ("seeds", "at least 1 item")),
        ({"presets": ["lora", "lora"]}, ("'lora' is listed twice",)),
        ({"presets": [{"name": "../x", "preset": "lora"}]}, ("presets.0.name", "../x")),
        ({"presets": ["loar"]}, ("no preset named 'loar'", "Did you mean 'lora'?")),
        ({"presets": [{"preset": "lora", "set": ["train.stepps=2"]}]}, ("presets.lora", "'steps'?")),
        ({"presets": [{"preset": "lora", "set": ["train.seed=5"]}]}, ("'train.seed' cannot be set",)),
        ({"presets": ["lora", {**STRONG, "set": ["train.precision=bf16"]}]}, ("train.precision is 'bf16'",)),
        ({"targets": ["hatt"]}, ("no target named 'hatt'", "Did you mean 'hat'?")),
        ({"suite": "portrait"}, ("no suite named 'portrait'", "Did you mean 'portraits'?")),
        ({"backbone": "minni"}, ("no backbone named 'minni'",)),
        ({"evaluation": {"scores": ["lpisp"]}}, ("evaluation.scores", "'lpisp'", "Did you mean 'lpips'?")),
        ({"evaluation": {"scores": ["lpips", "lpips"]}}, ("'lpips' is listed twice",)),
        (
            {"evaluation": {"scores": [{"name": "lpips", "set": ["pth=x"]}]}},
            ("lpips", "Did you mean 'path'?"),
        ),
        ({"data": {"bias": {"background": "teel"}}}, ("'teel'", "Did you mean 'teal'?")),
        ({"data": {"bias": {"backgrund": "teal"}}}, ("'backgrund'", "Did you mean 'background'?")),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(
    spf, settings, tmp_path: Path, change, words
) -> None:
    file = write(tmp_path / "small.yaml", {**settings, **change})
    assert spf("benchmark", file, "--out", tmp_path / "out").fails_with(*words)
    assert not (tmp_path / "out").exists()


def test_a_pattern_that_matches_no_cell_is_refused(spf, settings, tmp_path: Path) -> None:
    file = write(tmp_path / "small.yaml", settings)
    refused = spf("benchmark", file, "--out", tmp_path / "out", "--only", "hut/*")
    assert refused.fails_with("hut/*", "hat/lora, hat/strong")


def test_a_folder_of_something_else_is_left_alone(spf, settings, tmp_path: Path) -> None:
    file, folder = write(tmp_path / "small.yaml", settings), tmp_path / "mine"
    folder.mkdir()
    (folder / "mine.txt").write_text("x")
    assert spf("benchmark", file, "--out", folder).fails_with(str(tmp_path), "not empty")
    assert spf("benchmark", file, "--out", folder, "--report-only").fails_with("not a benchmark's folder")
    assert spf("benchmark", file, "--out", folder / "mine.txt").fails_with("is a file")
    assert [item.name for item in folder.iterdir()] == ["mine.txt"]
