"""Equal trainings write equal bytes, whatever the process, its hash seed and the time of day."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from spf_cli.main import main
from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.training.loop import train

TIMED = {"metrics.jsonl", "index.html"}  # seconds and memory of each step, and what shows them
RESUMED = """
import sys
from pathlib import Path
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.run import saved_config
from spf_core.training.loop import train

plugins = load_plugins()
run = Path(sys.argv[1])
train(saved_config(run, plugins, trains=True), run, plugins, resume=True)
"""
SETTINGS = (
    "train.batch_size=2",
    "train.device=cpu",
    "train.ema_decay=0.9",
    "control_map=sfcm-v2",
    "losses.fine-grained.start=0",
    "checkpoint.every=1",
    "checkpoint.keep=3",
    "sample.every=2",
    "sample.steps=2",
)


def contents(run: Path) -> dict[str, bytes]:
    files = (file for file in run.rglob("*") if file.is_file() and file.name not in TIMED)
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def begun(plugins: Plugins, tiny: Path, data: Path, run: Path) -> Path:
    """A run that has its configuration and no step, as after an interrupt."""
    config = load_run_config(
        plugins,
        preset="spf-paper",
        overrides={"data": str(data), "train": {"steps": 2}},
        assignments=[f"backbone.path={tiny}", *SETTINGS],
    )
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(config.dump(), encoding="utf-8")
    return run


@pytest.mark.slow
def test_two_processes_with_other_hash_seeds_write_the_same_files(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    runs = [begun(plugins, tiny_folder, data, tmp_path / seed / "run") for seed in ("1", "2")]
    processes = []
    for seed, run in zip(("1", "2"), runs, strict=True):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "SPF_CACHE": str(tmp_path / f"cache-{seed}")}
        command = [sys.executable, "-c", RESUMED, str(run)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    first, second = map(contents, runs)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert {"adapter.safetensors", "run.safetensors", "samples/step-000002-grid.png"} <= first.keys()


@pytest.mark.parametrize("options", [("kohya",), ("diffusers",), ("checkpoint", "--merge")], ids="".join)
def test_exports_of_one_run_are_equal_whenever_they_are_made(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    config = load_run_config(
        plugins,
        preset="lora",
        overrides={"data": str(data), "train": {"steps": 1}},
        assignments=[f"backbone.path={tiny_folder}", "sample.every=0", "train.device=cpu"],
    )
    train(config, tmp_path / "run", plugins)
    exports = []
    for number in (1, 2):
        os.utime(tmp_path / "run" / "adapter.safetensors", (number, number))
        out = tmp_path / f"{number}" / ("out" if options == ("diffusers",) else "out.safetensors")
        with pytest.raises(SystemExit, match="0"):
            main(["export", str(tmp_path / "run"), "--out", str(out), "--format", *options])
        exports.append(contents(out.parent))
    assert exports[0] == exports[1]


def test_metadata_of_every_kind_of_text_is_sorted_and_read_back(tmp_path: Path) -> None:
    metadata = {"b": 'quote " backslash \\', "a": "\x00\x1f\x7f\n\t", "c": "ü 漢 😀 \u2028", "": ""}
    write_safetensors(tmp_path / "one.safetensors", {}, metadata)
    write_safetensors(tmp_path / "two.safetensors", {}, dict(reversed(metadata.items())))
    assert read_safetensors(tmp_path / "one.safetensors") == ({}, metadata)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    write_safetensors(tmp_path / "none.safetensors", {"x": torch.ones(1)}, {})
    assert read_safetensors(tmp_path / "none.safetensors") == ({"x": torch.ones(1)}, {})
