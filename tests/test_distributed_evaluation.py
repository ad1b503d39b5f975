"""Two processes share the sampling of an evaluation, and write the same files as one process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from installing import PLUGIN_FILES
from test_distributed import ACCELERATE, TORCHRUN

from spf_cli.main import main
from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import load_plugins
from spf_core.training.loop import train

OPTIONS = (
    "--target",
    "hat",
    "--prompts",
    "5",
    "--seeds",
    "2",
    "--strengths",
    "0,0.5",
    "--keep",
    "2",
    "--device",
    "cpu",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, data: Path) -> Iterator[Path]:
    """Sampled in four batches, the last of one picture."""
    folder = tmp_path_factory.mktemp("shared")
    plugin = str(PLUGIN_FILES / "watched.py")
    plugins = load_plugins([plugin])
    config = load_run_config(
        plugins,
        preset="lora",
        overrides={"data": str(data), "plugins": [plugin], "train": {"steps": 2, "device": "cpu"}},
        assignments=[
            f"backbone.path={tiny_folder}",
            "editor=watched",
            "optimizer.learning_rate=0.05",
            "sample.every=0",
            "sample.steps=3",
            "sample.batch_size=3",
            "sample.handover=0.7",
        ],
    )
    train(config, folder / "run", plugins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPF_TRUSTED_FOLDERS", str(folder))  # the run keeps a copy of the file
        yield folder / "run"


def start(launcher: tuple[str, ...], run: Path, name: str) -> subprocess.Popen[str]:
    """`spf evaluate` of the run by a launcher, in a process group and with a cache of its own."""
    out = run.parent / "evaluations" / name
    command = [sys.executable, "-m", *launcher, "spf_cli", "evaluate", run, "--out", out, *OPTIONS]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "SPF_CACHE": str(run.parent / f"cache-{name}"),
            "OMP_NUM_THREADS": "1",
            "EVALUATION": name,
        },
    )


def lines(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("error: ")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_two_processes_write_the_very_files_of_one(run: Path) -> None:
    evaluations, cache, one = run.parent / "evaluations", run.parent / "cache-pair", run.parent / "cache-one"
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        torch.set_num_threads(1)  # as the launcher does: their number decides the last bits
        patch.setenv("SPF_CACHE", str(one))
        with pytest.raises(SystemExit, match="0"):
            main(["evaluate", str(run), "--out", str(evaluations / "one"), *OPTIONS])
    torch.set_num_threads(threads)
    shutil.copytree(one, cache)
    shutil.rmtree(next((cache / "originals").iterdir()))  # the others are read, this one is drawn
    process = start((*TORCHRUN, "-m"), run, "pair")
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.count("tuned, complete text 10/10") == 1, "the main process alone shows how far it is"
    assert "written by 0: " in said
    assert "written by 1: " not in said
    found, expected = files(evaluations / "pair"), files(evaluations / "one")
    results = [json.loads(each.pop("results.json")) for each in (found, expected)]
    assert all(each.pop("seconds") > 0 for each in results)
    assert results[0] == results[1]
    assert found == expected
    assert {"pairs.jsonl", "pairs-x0.5.jsonl", "grid.png", "images/tuned-002.png"} <= found.keys()
    assert files(cache / "originals") == files(one / "originals")


@pytest.mark.slow
def test_an_interrupt_of_one_process_ends_all_with_one_line(run: Path) -> None:
    process = start((*ACCELERATE, "-m"), run, "interrupt")
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert lines(errors) == ["error: interrupted (process 2 of 2)"], errors
    assert not (run.parent / "evaluations" / "interrupt").exists()


@pytest.mark.slow
def test_ctrl_c_ends_all_with_one_line(run: Path) -> None:
    process = start((*TORCHRUN, "-m"), run, "wait")
    assert process.stdout is not None
    for _ in range(2):
        while not process.stdout.readline().startswith("waiting"):
            assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert len(lines(errors)) == 1, errors
    assert lines(errors)[0].startswith("error: interrupted; nothing is half-written"), errors
    assert "forcefully" not in errors, "the launcher had to kill one"
    assert not (run.parent / "evaluations" / "wait").exists()
