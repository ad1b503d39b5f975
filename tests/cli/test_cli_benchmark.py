"""`spf benchmark`: from one file to tables, continued where it stopped, shared between processes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from spf_core.checkpoint import ADAPTER_FILE, checkpoints

STRONG = {"name": "strong", "preset": "lora", "set": ["optimizer.learning_rate=0.1"]}
CELLS = ["hat/lora/seed-0", "hat/lora/seed-1", "hat/strong/seed-0", "hat/strong/seed-1"]
HEADLINE = ("sps", "effect", "spi", "delta_spi", "rec", "hit_rate", "base_leak")
PLUGIN = '''
"""A loss that interrupts the process the first time, and one that is not a number."""

import signal
from pathlib import Path

from spf_core.components import LossConfig
from spf_core.hookspecs import hookimpl


class Stop(LossConfig):
    """Interrupts the process, once."""

    name = "stop"

    def build(self):
        def term(state):
            mark = Path(__file__).with_suffix(".stopped")
            if not mark.exists():
                mark.touch()
                signal.raise_signal(signal.SIGINT)
            return 0 * state.response.pred_BCHW.mean()

        return term


class Broken(LossConfig):
    """Is not a number."""

    name = "broken"

    def build(self):
        return lambda state: state.response.pred_BCHW.mean() * float("nan")


@hookimpl
def spf_register_loss_terms():
    return [Stop, Broken]
'''


def write(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def finished_cells(out: Path) -> list[str]:
    files = (out / "cells").glob("*/*/*/evaluation/results.json")
    return sorted(file.relative_to(out / "cells").parents[1].as_posix() for file in files)


def report(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return found


def times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def settings(tiny: list[str]) -> dict[str, Any]:
    return {
        "suite": "portraits",
        "backbone": "mini",
        "targets": ["hat"],
        "presets": ["lora", STRONG],
        "seeds": [0, 1],
        "data": {"count": 4, "bias": {"background": "teal"}},
        "evaluation": {"prompts": 3, "seeds": 1},
        "steps": 1,
        "set": [part for part in tiny if part != "--set"],
    }


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def benchmark(spf, settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """The file, the folder, and what the first call said."""
    folder = tmp_path_factory.mktemp("benchmark")
    file = write(folder / "small.yaml", settings)
    done = spf("benchmark", file, "--out", folder / "out")
    assert done.code == 0, done.err
    return file, folder / "out", done


@pytest.fixture
def copied(benchmark, tmp_path: Path) -> Path:
    shutil.copytree(benchmark[1], tmp_path / "out")
    return tmp_path / "out"


def test_every_cell_is_trained_evaluated_and_told_in_one_line(benchmark) -> None:
    _, out, done = benchmark
    assert finished_cells(out) == CELLS
    assert [line.split()[0] for line in done.out.splitlines() if "/seed-" in line] == [
        "hat/lora/seed-0", "hat/strong/seed-0", "hat/lora/seed-1", "hat/strong/seed-1"
    ]  # fmt: skip
    line = next(line for line in done.out.splitlines() if "/seed-" in line)
    assert all(f"  {name} " in line for name in ("SPS", "hit", "leak"))
    assert not list(out.rglob("claim-*"))
    for cell in CELLS:
        config = yaml.safe_load((out / "cells" / cell / "run" / "config.yaml").read_text())
        assert config["train"]["seed"] == int(cell[-1])
        assert config["data"] == str(out / "data" / "hat")
        assert config["optimizer"]["learning_rate"] == (0.1 if "strong" in cell else 5e-4)


def test_results_pool_training_seeds_with_intervals_and_costs(benchmark) -> None:
    found = report(benchmark[1])
    assert (found["suite_label"], found["missing"], found["reference"]) == ("embedded portraits", [], "lora")
    for row in found["targets"]["hat"]["presets"].values():
        assert all(set(row[name]) == {"value", "ci"} for name in HEADLINE)
        assert (row["n_prompts"], row["n_seeds"], row["training_seeds"]) == (3, 1, [0, 1])
        assert min(row["seconds_per_step"], row["peak_memory_mib"], row["trainable_parameters"]) > 0
    tests = found["targets"]["hat"]["paired_tests"]
    assert [test["measure"] for test in tests] == ["sps", "spi", "effect"]
    assert all(test["p_holm"] >= test["p"] >= 1 / 8 for test in tests), "three prompts: eight exchanges"


def test_the_page_shows_tables_and_figures(benchmark) -> None:
    _, out, _ = benchmark
    page = (out / "results.md").read_text(encoding="utf-8")
    assert page.startswith("# Benchmark: embedded portraits\n")
    assert all(f"\n| {name} | " in page for name in ("preset", "lora", "strong", "against"))
    for picture in ("sps.png", "grid-hat.png"):
        assert f"]({picture})" in page
        with Image.open(out / picture) as opened:
            assert min(opened.size) > 200
    with Image.open(out / "grid-hat.png") as grid:
        prompts, noise = grid.text["prompts"].splitlines(), grid.text["noise_seeds"].split()
    first = (out / "cells/hat/lora/seed-0/evaluation/pairs.jsonl").read_text().splitlines()
    assert [json.loads(line)["complete_text"] for line in first] == prompts
    assert [str(json.loads(line)["noise"]) for line in first] == noise


def test_a_second_call_computes_no_cell_again(spf, benchmark) -> None:
    file, out, _ = benchmark
    before = times(out / "cells")
    assert spf("benchmark", file, "--out", out).code == 0
    assert times(out / "cells") == before


def test_tables_are_rebuilt_from_finished_cells_alone(spf, benchmark, copied: Path) -> None:
    file, out, _ = benchmark
    for made in ("results.json", "results.md", "sps.png", "grid-hat.png"):
        (copied / made).unlink()
    shutil.rmtree(copied / "cells/hat/strong/seed-1/evaluation")
    done = spf("benchmark", file, "--out", copied, "--report-only")
    assert done.code == 0, done.err
    assert report(copied)["missing"] == ["hat/strong/seed-1"]
    assert "**Incomplete**" in (copied / "results.md").read_text()
    shutil.copytree(out / "cells", copied / "cells", dirs_exist_ok=True)
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert report(copied) == report(out)


def test_one_training_seed_scores_what_evaluate_says(spf, settings, copied: Path, tmp_path: Path) -> None:
    shutil.rmtree(copied / "cells/hat/strong")
    (copied / "benchmark.yaml").unlink()
    kept = (copied / "cells").rename(tmp_path / "cells")
    shutil.rmtree(copied)
    copied.mkdir()
    file = write(tmp_path / "one.yaml", {**settings, "presets": ["lora"], "seeds": [1]})
    assert spf("benchmark", file, "--out", copied, "--only", "nothing/*").fails_with("nothing/*", "hat/lora")
    write(copied / "benchmark.yaml", {**settings, "presets": ["lora"], "seeds": [1]})
    kept.rename(copied / "cells")
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    run = copied / "cells/hat/lora/seed-1/run"
    said = spf("evaluate", run, "--out", tmp_path / "said", "--prompts", 3, "--seeds", 1)
    assert said.code == 0, said.err
    expected, row = report(tmp_path / "said"), report(copied)["targets"]["hat"]["presets"]["lora"]
    for name in HEADLINE:
        assert row[name]["value"] == pytest.approx(expected[name]["value"], abs=1e-5), name
        assert row[name]["ci"] == pytest.approx(expected[name]["ci"], abs=1e-5), name
    for part, value in expected["parts"].items():
        assert row["parts"][part]["value"] == pytest.approx(value["value"], abs=1e-6), part


def test_two_processes_share_the_cells_and_a_killed_one_is_replaced(spf, settings, tmp_path: Path) -> None:
    file, out = write(tmp_path / "small.yaml", settings), tmp_path / "out"
    command = [sys.executable, "-m", "spf_cli", "benchmark", str(file), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        while not (claims := list(out.rglob("claim-*"))) and other.poll() is None:
            time.sleep(0.02)
        other.send_signal(signal.SIGSTOP)
        (held,) = (claim.parent.relative_to(out / "cells").as_posix() for claim in claims)
        beside = spf("benchmark", file, "--out", out)
        other.kill()
    assert beside.code == 0, beside.err
    assert f"{held} is left to " in beside.out
    assert f"process {other.pid}" in beside.out
    assert finished_cells(out) == [cell for cell in CELLS if cell != held]
    assert not (out / "results.json").exists()
    after = spf("benchmark", file, "--out", out)
    assert after.code == 0, after.err
    assert [line.split()[0] for line in after.out.splitlines() if "/seed-" in line] == [held]
    assert finished_cells(out) == CELLS
    assert report(out)["missing"] == []
    assert not list(out.rglob("claim-*"))


def test_ctrl_c_says_how_to_continue_and_the_same_command_does(spf, settings, tmp_path: Path) -> None:
    plugin = write(tmp_path / "faults.py", {})
    plugin.write_text(PLUGIN, encoding="utf-8")
    stopping = {"name": "stopping", "preset": "lora", "set": ["losses.stop.start=0.5"]}
    changes = {"presets": [stopping], "seeds": [0], "steps": 2, "plugins": [str(plugin)]}
    file, out = write(tmp_path / "small.yaml", {**settings, **changes}), tmp_path / "out"
    stopped = spf("benchmark", file, "--out", out)
    assert stopped.code == 2
    assert stopped.err.splitlines()[-1].startswith("error: interrupted; ")
    assert stopped.err.splitlines()[-1].endswith(f"Continue with: spf benchmark {file} --out {out}")
    run = out / "cells/hat/stopping/seed-0/run"
    assert [folder.name for folder in checkpoints(run)] == ["step-000001"]
    assert not list(out.rglob("claim-*"))
    assert spf("benchmark", file, "--out", out).code == 0
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").open()] == [1, 2]
    assert (run / ADAPTER_FILE).is_file()


def test_a_cell_that_fails_is_named_and_the_others_run(spf, settings, copied: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "faults.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    failing = {"name": "failing", "preset": "lora", "set": ["losses.broken.weight=1"]}
    changes = {"presets": [failing, "lora"], "seeds": [0], "plugins": [str(plugin)]}
    file = write(tmp_path / "small.yaml", {**settings, **changes})
    done = spf("benchmark", file, "--out", tmp_path / "new")
    assert done.code == 2
    last = done.err.splitlines()[-1]
    assert last.startswith("error: cell hat/failing/seed-0: 'broken' became nan in step 1")
    assert finished_cells(tmp_path / "new") == ["hat/lora/seed-0"]


def test_a_damaged_cell_is_named(spf, benchmark, copied: Path) -> None:
    pairs = copied / "cells/hat/lora/seed-1/evaluation/pairs.jsonl"
    pairs.write_text(pairs.read_text()[:-50], encoding="utf-8")
    refused = spf("benchmark", benchmark[0], "--out", copied)
    assert refused.fails_with("hat/lora/seed-1", "is damaged", "delete that folder")


def test_a_preset_that_changed_since_is_not_mixed_in(spf, benchmark, copied: Path) -> None:
    saved = copied / "cells/hat/lora/seed-0/run/config.yaml"
    saved.write_text(saved.read_text().replace("learning_rate: 0.0005", "learning_rate: 0.0004"))
    refused = spf("benchmark", benchmark[0], "--out", copied)
    assert refused.fails_with("hat/lora/seed-0", "optimizer.learning_rate=0.0004", "0.0005 now")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 2}, ("'steps' was 1 and is 2 now",)),
        ({"evaluation": {"prompts": 4, "seeds": 1}}, ("'evaluation' was", "'prompts': 4")),
        ({"seeds": [1]}, ("'seeds' had 0",)),
        ({"presets": ["lora"]}, ("'presets' had 'strong'",)),
        ({"presets": ["lora", {**STRONG, "set": []}]}, ("preset 'strong' was", "learning_rate")),
    ],
)
def test_a_changed_file_is_refused(spf, settings, benchmark, tmp_path: Path, change, words) -> None:
    file = write(tmp_path / "other.yaml", {**settings, **change})
    before = times(benchmark[1])
    assert spf("benchmark", file, "--out", benchmark[1]).fails_with(*words, "another --out")
    assert times(benchmark[1]) == before


def test_presets_targets_and_seeds_may_be_added(spf, settings, copied: Path, tmp_path: Path) -> None:
    more = {"presets": ["naive", "lora", STRONG], "targets": ["beard", "hat"], "seeds": [0, 1, 2]}
    file = write(tmp_path / "more.yaml", {**settings, **more})
    assert spf("benchmark", file, "--out", copied, "--report-only").code == 0
    assert len(report(copied)["missing"]) == 18 - 4
    one = spf("benchmark", file, "--out", copied, "--only", "beard/naive")
    assert one.code == 0, one.err
    assert "11 cells are not finished" in one.out
    assert finished_cells(copied) == [*(f"beard/naive/seed-{seed}" for seed in range(3)), *CELLS]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": ["hat"]}, ("unknown option 'target'", "Did you mean 'targets'?")),
        ({"evaluation": {"prompt": 3}}, ("evaluation.prompt", "Did you mean 'prompts'?")),
        ({"presets": [{"preset": "lora", "sets": []}]}, ("unknown option 'sets'", "Did you mean 'set'?")),
        ({"targets": []}, ("targets", "at least 1 item")),
        ({"seeds": []}, ("seeds", "at least 1 item")),
        ({"presets": ["lora", "lora"]}, ("'lora' is listed twice",)),
        ({"presets": [{"name": "../x", "preset": "lora"}]}, ("presets.0.name", "../x")),
        ({"presets": ["loar"]}, ("no preset named 'loar'", "Did you mean 'lora'?")),
        ({"presets": [{"preset": "lora", "set": ["train.stepps=2"]}]}, ("presets.lora", "'steps'?")),
        ({"presets": [{"preset": "lora", "set": ["train.seed=5"]}]}, ("'train.seed' cannot be set",)),
        ({"targets": ["hatt"]}, ("no target named 'hatt'", "Did you mean 'hat'?")),
        ({"suite": "portrait"}, ("no suite named 'portrait'", "Did you mean 'portraits'?")),
        ({"backbone": "minni"}, ("no backbone named 'minni'",)),
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


def test_a_folder_of_something_else_is_left_alone(spf, benchmark, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    file, *_ = benchmark
    assert spf("benchmark", file, "--out", tmp_path).fails_with(str(tmp_path), "not empty")
    assert spf("benchmark", file, "--out", tmp_path, "--report-only").fails_with("not a benchmark's folder")
    assert spf("benchmark", file, "--out", tmp_path / "mine.txt").fails_with("is a file")
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]
