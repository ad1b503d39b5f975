"""Sizes that spf estimates before a run, against the sizes of the run."""

import sys
from pathlib import Path

import pytest
from test_optimizers import LIBRARIES
from test_trainer import config_of
from torch import nn

from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import checkpoints
from spf_core.runs.run import open_backbone
from spf_core.training.loop import train
from spf_core.training.optimizers import make_optimizer
from spf_core.training.resources.dry_run import plan_of
from spf_core.training.resources.run_estimate import optimizer_bytes, size_of, size_rows


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_optimizer_keeps_what_was_foreseen(name: str, plugins: Plugins) -> None:
    if library := LIBRARIES[name]:
        pytest.importorskip(library)
    model = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Linear(256, 128))
    parameters = list(model.parameters())
    options = plugins.get(name, "optimizer")(learning_rate=1)
    optimizer = make_optimizer(options, parameters)
    for parameter in parameters:
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    kept = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for key, value in state.items()
        if hasattr(value, "element_size") and not key.startswith("qmap")
    )
    assert optimizer_bytes(options, parameters) == pytest.approx(kept, rel=0.02)


@pytest.mark.parametrize(("number", "text"), [(512, "512 B"), (1536, "1.5 KiB"), (3 * 2**31, "6 GiB")])
def test_sizes_are_for_people(number: int, text: str) -> None:
    assert size_of(number) == text


@pytest.mark.parametrize("average", [(), ("train.ema_decay=0.9",)])
def test_a_checkpoint_has_the_size_that_was_foreseen(
    average: tuple[str, ...], plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, data, *average, preset="naive", steps=1)
    backbone, adapter = open_backbone(config.backbone, "cpu"), config.adapter.build()
    adapter.attach(backbone)
    told = dict(size_rows(config, backbone, adapter))["checkpoints on disk"]
    train(config, tmp_path / "run", plugins)
    (folder,) = checkpoints(tmp_path / "run")
    tensors = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    count, number, unit = told.replace("x ", "").split()
    assert (count, unit) == ("2", "MiB")
    assert float(number) == pytest.approx(tensors / 2**20, rel=0.1)


def test_a_plan_says_when_each_term_counts(plugins: Plugins, tiny_folder: Path, data: Path) -> None:
    settings = ("train.accumulation=3", "train.text_variants=2", "losses.fine-grained.weight=0")
    plan = plan_of(config_of(plugins, tiny_folder, data, *settings, steps=20))
    training = dict(plan.training)
    assert training["images"] == "5"
    assert training["rows"] == "10, 2 of each image; an epoch reads 10"
    assert training["steps"] == "20 of 6 rows"
    assert training["epochs"] == "12"
    assert {name: steps for name, _, steps, _ in plan.terms} == {
        "denoising": "1 to 20",
        "text-consistency": "9 to 20",
        "fine-grained": "never",
        "clip-region": "9 to 20",
    }


@pytest.mark.parametrize("setting", ["optimizer.name=lion", "train.trackers=[wandb]"])
def test_a_plan_finds_out_that_a_library_is_absent(
    setting: str, plugins: Plugins, tiny_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("lion_pytorch", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match="pip install"):
        plan_of(config_of(plugins, tiny_folder, data, setting, preset="lora"))
