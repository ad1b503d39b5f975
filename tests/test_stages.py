"""Stages of training: new weights, a new optimizer and a new average, and resuming around the boundary."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from test_trainer import config_of, same, weights

from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import rows_of
from spf_core.runs.checkpoint import Checkpoint, checkpoints, read_checkpoint
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics
from spf_core.training.trainer import Trainer
from spf_core.utils.progress import silent

RATE = 1e-3
SETTINGS = (
    "train.accumulation=2",
    "train.ema_decay=0.3",
    "checkpoint.every=1",
    "checkpoint.keep=9",
    f"optimizer.learning_rate={RATE}",
    "optimizer.schedule=cosine",
    "optimizer.weight_decay=0",
)
BOUNDARY = 3  # steps of stage 1


@pytest.fixture(scope="module")
def config(plugins: Plugins, tiny_folder: Path, data: Path) -> RunConfig:
    return config_of(plugins, tiny_folder, data, *SETTINGS, preset="purecc", steps=6)


@pytest.fixture(scope="module")
def whole(config: RunConfig, plugins: Plugins, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(config, run, plugins)
    return run


@pytest.fixture(scope="module")
def steps(whole: Path) -> list[Checkpoint]:
    """The checkpoints of steps 1 to 6."""
    return [read_checkpoint(folder) for folder in checkpoints(whole)]


def term(checkpoint: Checkpoint, stage: str) -> dict[str, torch.Tensor]:
    prefix = f"term.pure-concept/{stage}:"
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint.parts.items()
        if name.startswith(prefix)
    }


def test_stage_2_trains_new_weights_with_a_new_optimizer(
    config: RunConfig, steps: list[Checkpoint], tmp_path: Path
) -> None:
    untrained = Trainer(config, tmp_path / "run", rows_of(config.preparation), silent).adapter.state_dict()
    before, after = steps[BOUNDARY - 1].adapter, steps[BOUNDARY].adapter
    rate = RATE * 0.5 * (1 + math.cos(math.pi * BOUNDARY / 6))  # Adam's first step is at most as long
    for name, start in untrained.items():
        assert (after[name] - start).abs().max() <= rate * 1.001
    up = [name for name in untrained if "lora_B" in name]
    assert up
    assert max(float((after[name] - before[name]).abs().max()) for name in up) > rate * 1.1
    assert {int(state["step"]) for state in steps[BOUNDARY].optimizer["state"].values()} == {1}


def test_the_extractor_is_what_stage_1_left(steps: list[Checkpoint]) -> None:
    for checkpoint in steps[:BOUNDARY]:
        assert not term(checkpoint, "stage1")
    for checkpoint in steps[BOUNDARY:]:
        assert same(term(checkpoint, "stage1"), steps[BOUNDARY - 1].adapter)
        assert not term(checkpoint, "first")


def test_the_average_begins_anew_and_the_step_size_goes_on(whole: Path, steps: list[Checkpoint]) -> None:
    average = steps[BOUNDARY].adapter
    for number, checkpoint in enumerate(steps[BOUNDARY + 1 :], start=1):
        decay = min(0.3, (1 + number) / (10 + number))
        average = {name: decay * average[name] + (1 - decay) * checkpoint.adapter[name] for name in average}
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(tensor, average[name])
    rates = [line["learning_rate"] for line in read_metrics(whole)]
    assert rates == pytest.approx([RATE * 0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6)])


@pytest.mark.parametrize("step", [BOUNDARY - 1, BOUNDARY, BOUNDARY + 1])
def test_resuming_around_the_boundary_is_bit_identical(
    config: RunConfig, whole: Path, plugins: Plugins, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "adapter.safetensors").unlink()
    for folder in checkpoints(run)[step:]:
        shutil.rmtree(folder)
    train(config, run, plugins, resume=True)
    assert same(weights(run), weights(whole))
    for folder, other in zip(checkpoints(run), checkpoints(whole), strict=True):
        for name in ("adapter.safetensors", "optimizer.safetensors", "parts.safetensors"):
            assert (folder / name).read_bytes() == (other / name).read_bytes()
    losses, expected = ([line["loss"] for line in read_metrics(each)] for each in (run, whole))
    assert losses == expected


def test_what_an_optimizer_keeps_beside_its_moments_begins_anew(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("prodigyopt")
    settings = ("optimizer.name=prodigy", "optimizer.learning_rate=1")
    config = config_of(plugins, tiny_folder, data, *settings, preset="purecc", steps=4)
    trainer = Trainer(config, tmp_path / "run", rows_of(config.preparation), silent)
    counts = []
    for _ in range(4):
        trainer.train_step()
        counts.append(trainer.optimizer.param_groups[0]["k"])
    assert counts == [1, 2, 1, 2]


def test_an_adapter_whose_ranks_belong_to_the_whole_run_is_refused(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, data, "adapter=adalora-adapter", preset="purecc", steps=20)
    with pytest.raises(
        ConfigError, match=r"'pure-concept' starts a stage.*choose an adapter whose ranks stay"
    ):
        train(config, tmp_path / "run", plugins)
