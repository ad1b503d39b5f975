"""Full fine-tuning in shards by Accelerate's FSDP on two processes: as one that accumulates twice."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from installing import PLUGIN_FILES
from PIL import Image
from test_distributed import FAST, WORKER, launch, weights

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics
from spf_core.training.sharding import refuse_unshardable

FSDP = (
    *("accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2"),
    *("--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"),
    *("--num_processes", "2", "--main_process_port", "0"),
)
MORE = ("train.device=cpu", "adapter=full-unet", "optimizer.learning_rate=1e-3")
LOOKED_AT = ("losses.holds.weight=1", "sample.every=2")
CASES = {
    "naive": ("naive", (*LOOKED_AT, "train.gradient_checkpointing=true", "train.accumulation=2")),
    "spf-paper": (
        "spf-paper",
        ("losses.text-consistency.start=0", "losses.fine-grained.start=0", "response.start=0"),
    ),
    "sdxl": ("naive", ("backbone.dtype=float32", "train.precision=no")),
}
STEPS = 4
PLUGINS = [str(PLUGIN_FILES / name) for name in ("holds.py", "failing.py")]


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(PLUGINS)


Settings = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def settings(plugins: Plugins, tiny_folder: Path, tiny_xl_folder: Path, data: Path) -> Settings:
    """The configuration of a case, with further settings."""

    def make(name: str, *more: str) -> RunConfig:
        preset, own = CASES[name]
        place = tiny_xl_folder if name == "sdxl" else tiny_folder
        return load_run_config(
            plugins,
            preset=preset,
            backbone="sdxl" if name == "sdxl" else None,
            overrides={"data": str(data), "train": {"steps": STEPS}},
            assignments=[f"backbone.path={place}", *FAST, *MORE, *own, *more],
        )

    return make


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, plugins: Plugins, settings: Settings) -> Path:
    """runs/NAME by two processes, runs/resumed by two that lost half of it, alone/NAME by one."""
    folder = tmp_path_factory.mktemp("sharding")
    jobs = {name: job(folder, name, settings(name)) for name in CASES}
    for name in CASES:
        twice = 2 * settings(name).train.accumulation
        train(settings(name, f"train.accumulation={twice}"), folder / "alone" / name, plugins)
    half = {**jobs["naive"], "run": f"{folder}/runs/resumed"}
    last = [f"{half['run']}/checkpoints/step-000004", f"{half['run']}/{ADAPTER_FILE}"]
    jobs |= {"half": half, "resumed": {**half, "resume": True, "remove": last}}
    jobs["failed"] = job(folder, "failed", settings("naive", "losses.failing.weight=1"))
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
    done = launch(FSDP, WORKER, folder / "jobs.json", *PLUGINS)
    assert (folder / "runs" / "resumed" / ADAPTER_FILE).exists(), done.stderr
    (folder / "said.txt").write_text(done.stdout)
    (folder / "errors.txt").write_text(done.stderr)
    return folder


def job(folder: Path, name: str, config: RunConfig) -> dict[str, Any]:
    """Runs that `distributed_worker.py` trains."""
    (folder / f"{name}.yaml").write_text(config.dump())
    return {
        "config": f"{folder}/{name}.yaml",
        "run": f"{folder}/runs/{name}",
        "resume": False,
        "remove": [],
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_with_shards_are_one_that_accumulates_twice(both: Path, name: str) -> None:
    pair, alone = (weights(both / where / name) for where in ("runs", "alone"))
    assert pair.keys() == alone.keys()
    for key, tensor in pair.items():
        torch.testing.assert_close(tensor, alone[key], rtol=1e-4, atol=2e-6)
    lines = [read_metrics(both / where / name) for where in ("runs", "alone")]
    for line, other in zip(*lines, strict=True):
        assert line["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-5)


@pytest.mark.slow
def test_pictures_of_the_original_and_of_the_tuned_model_are_those_of_one(both: Path) -> None:
    drawn = ("step-000002-grid.png", "step-000004-grid.png")
    for name in drawn:
        pair, alone = (Image.open(both / where / "naive" / "samples" / name) for where in ("runs", "alone"))
        assert np.abs(np.asarray(pair, int) - np.asarray(alone, int)).max() <= 2, name


@pytest.mark.slow
def test_each_process_holds_half(both: Path) -> None:
    shares = [float(share) for share in re.findall(r"holds ([0-9.]+)", (both / "said.txt").read_text())]
    assert len(shares) >= 2 * STEPS
    assert all(0.5 <= share < 0.55 for share in shares)


@pytest.mark.slow
def test_two_processes_resume_bit_identically(both: Path) -> None:
    whole, resumed = (weights(both / "runs" / name) for name in ("naive", "resumed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_one_process_goes_on_from_a_checkpoint_of_two(
    both: Path, settings: Settings, plugins: Plugins
) -> None:
    run = both / "one"
    shutil.copytree(both / "runs" / "naive", run)
    shutil.rmtree(run / "checkpoints" / "step-000004")
    (run / ADAPTER_FILE).unlink()
    train(settings("naive", "train.accumulation=4"), run, plugins, resume=True)
    expected = weights(both / "alone" / "naive")
    for key, tensor in weights(run).items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-4, atol=2e-6)


@pytest.mark.slow
def test_the_main_process_alone_writes(both: Path) -> None:
    assert json.loads((both / "written-1.json").read_text()) == []
    assert any("step-000004" in line for line in json.loads((both / "written-0.json").read_text()))


@pytest.mark.slow
def test_a_fault_of_one_process_ends_all_with_one_line(both: Path) -> None:
    said = (both / "errors.txt").read_text()
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, said
    assert errors[0].endswith(" failed in the step: no picture here; bring one (process 2 of 2)"), errors[0]
    assert [path.name for path in checkpoints(both / "runs" / "failed")] == ["step-000002"]


@pytest.mark.parametrize(
    ("change", "environment", "told"),
    [
        ("adapter=lora-adapter", {}, "adapter lora-adapter is small"),
        ("optimizer.name=adafactor", {}, "optimizer.name=adafactor is not tested on shards; leave it out"),
        ("train.ema_decay=0.9", {}, "leave it out"),
        ("train.precision=fp16", {}, "use bf16"),
        ("evaluation.every=2", {}, "set evaluation.every=0 and use spf evaluate afterwards"),
        ("calibration.enabled=true", {}, "set calibration.enabled=false"),
        ("train.compile=true", {}, "set it to false"),
        ("train.seed=1", {"FSDP_VERSION": "1"}, "--fsdp_version 2"),
        ("train.seed=1", {"FSDP_STATE_DICT_TYPE": "LOCAL_STATE_DICT"}, "settings do not fit (FSDP2 does not"),
        ("train.seed=1", {"FSDP_OFFLOAD_PARAMS": "true"}, "--fsdp_offload_params false"),
        ("train.seed=1", {"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "train.gradient_checkpointing=true"),
    ],
)
def test_what_does_not_go_with_shards_is_refused(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    environment: dict[str, str],
    told: str,
) -> None:
    for name, value in {"FSDP_VERSION": "2", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"^FSDP: .*{re.escape(told)}"):
        refuse_unshardable(settings("spf-paper", change))


def test_a_loss_whose_passes_depend_on_chance_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDP_VERSION", "2")
    more = ("losses.output-preservation.weight=1",)
    with pytest.raises(ConfigError, match="loss output-preservation makes passes"):
        refuse_unshardable(settings("spf-paper", *more))
