"""The moving average of the weights (EMA): its formula, its checkpoints, and that training never reads it."""

from pathlib import Path

import pytest
import torch
from test_trainer import config_of, same, train_whole_and_killed, weights

from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import checkpoints, read_checkpoint, read_safetensors
from spf_core.training.trainer import train

EMA = "train.ema_decay=0.3"  # low, so that it takes over from its warm-up within a few steps


def trained(run: Path) -> list[dict[str, torch.Tensor]]:
    return [read_checkpoint(folder).adapter for folder in checkpoints(run)]


def test_a_run_ends_with_the_average_and_trains_on_without_it(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    every = ("checkpoint.every=1", "checkpoint.keep=9")
    for name, more in (("averaged", (EMA,)), ("plain", ())):
        config = config_of(plugins, tiny_folder, data, *every, *more, preset="lora")
        train(config, tmp_path / name, plugins)
    steps = trained(tmp_path / "averaged")
    plain = trained(tmp_path / "plain")
    assert all(same(first, second) for first, second in zip(steps, plain, strict=True))
    average = steps[0]
    for number, step in enumerate(steps[1:], start=1):
        decay = min(0.3, (1 + number) / (10 + number))
        average = {name: decay * average[name] + (1 - decay) * step[name] for name in step}
    final = weights(tmp_path / "averaged")
    for name in final:
        torch.testing.assert_close(final[name], average[name])
    assert not same(final, steps[-1])


def test_a_run_with_an_average_resumes_bit_identically(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    train_whole_and_killed(config_of(plugins, tiny_folder, data, EMA, preset="naive"), tmp_path, plugins)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_looking_at_the_average_does_not_change_training(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    for name, every in (("watched", 2), ("alone", 0)):
        settings = (EMA, f"sample.every={every}", "sample.steps=2", "sample.prompts=1")
        train(config_of(plugins, tiny_folder, data, *settings, preset="lora"), tmp_path / name, plugins)
    assert same(weights(tmp_path / "watched"), weights(tmp_path / "alone"))
    _, metadata = read_safetensors(tmp_path / "watched" / "adapter.safetensors")
    assert "ema_decay: 0.3" in metadata["spf_config"]


def test_an_average_of_dropped_ranks_is_refused(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, data, EMA, preset="adalora", steps=20)
    with pytest.raises(ConfigError, match=r"train\.ema_decay: this adapter drops ranks.*whose ranks stay"):
        train(config, tmp_path / "run", plugins)
