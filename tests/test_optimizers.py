"""Optimizers and schedules: each trains and resumes, what is missing or misread is one line."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_trainer import config_of, same, train_whole_and_killed, weights
from torch import nn

from spf_core.errors import ConfigError
from spf_core.plugins import OptimizerConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import checkpoints, read_checkpoint
from spf_core.testing import check_optimizer
from spf_core.training import trackers
from spf_core.training.loop import train
from spf_core.training.optimizers import make_optimizer, make_schedule
from spf_core.training.run_log import read_metrics
from spf_plugins.optimizers import AdamW

LIBRARIES = {
    "adamw": None,
    "adamw8bit": "bitsandbytes",
    "adafactor": None,
    "prodigy": "prodigyopt",
    "lion": "lion_pytorch",
}
ABSENT = {"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt", "lion": "lion-pytorch"}


def settings_of(name: str) -> list[str]:
    rate = {"prodigy": "1", "lion": "1e-4"}.get(name, "1e-3")
    return [f"optimizer.name={name}", f"optimizer.learning_rate={rate}", "optimizer.weight_decay=0.01"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_an_optimizer_trains_and_resumes_bit_identically(
    name: str, plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    if library := LIBRARIES[name]:
        pytest.importorskip(library)
    preset = "naive" if name == "adamw8bit" else "lora"  # only large tensors have 8-bit moments
    config = config_of(plugins, tiny_folder, data, *settings_of(name), preset=preset)
    train_whole_and_killed(config, tmp_path, plugins)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert same(weights(whole), weights(killed))
    first = read_checkpoint(checkpoints(whole)[0]).adapter
    assert not same(first, weights(whole)), "the steps after the first checkpoint moved the weights"


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_built_in_optimizer_keeps_the_contract_of_its_kind(name: str, plugins: Plugins) -> None:
    if library := LIBRARIES[name]:
        pytest.importorskip(library)
    check_optimizer(plugins.get(name, "optimizer"), training=False)


def test_8_bit_adamw_keeps_8_bit_moments(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    config = config_of(plugins, tiny_folder, data, *settings_of("adamw8bit"), preset="naive", steps=1)
    train(config, tmp_path / "run", plugins)
    state = read_checkpoint(checkpoints(tmp_path / "run")[-1]).optimizer["state"]
    kinds = {values["state1"].dtype for values in state.values()}
    assert kinds == {torch.uint8, torch.float32}


def test_the_log_has_the_step_size_that_prodigy_found(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("prodigyopt")
    config = config_of(plugins, tiny_folder, data, *settings_of("prodigy"), preset="lora", steps=24)
    train(config, tmp_path / "run", plugins)
    rates = [line["learning_rate"] for line in read_metrics(tmp_path / "run")]
    assert rates[0] == 1e-6
    assert rates[-1] > rates[0]


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_library_is_named_with_its_package(
    name: str,
    plugins: Plugins,
    tiny_folder: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARIES[name], None)
    config = config_of(plugins, tiny_folder, data, *settings_of(name), preset="lora", steps=1)
    with pytest.raises(ConfigError, match=f"optimizer.name={name} needs .*; pip install {ABSENT[name]}$"):
        train(config, tmp_path / "run", plugins)
    assert not (tmp_path / "run").exists()


def test_the_default_is_fused_adamw() -> None:
    optimizer = make_optimizer(AdamW(), [nn.Parameter(torch.zeros(2))])
    assert type(optimizer) is torch.optim.AdamW
    assert optimizer.defaults["fused"] is True


WARM, STEPS = 0.2, 10


def decayed(name: str, step: int) -> float:
    """The factor at `step`, by the schedule's textbook formula."""
    warm = round(WARM * STEPS)
    if step < warm:
        return step / warm
    done = (step - warm) / (STEPS - warm)
    formulas: dict[str, Callable[[], float]] = {
        "constant": lambda: 1.0,
        "constant_with_warmup": lambda: 1.0,
        "linear": lambda: 1 - done,
        "cosine": lambda: (1 + math.cos(math.pi * done)) / 2,
        "cosine_with_restarts": lambda: (1 + math.cos(math.pi * (2 * done % 1))) / 2,
        "polynomial": lambda: (1 - 1e-7) * (1 - done) ** 2 + 1e-7,
    }
    return formulas[name]()


def factors(options: OptimizerConfig) -> list[float]:
    optimizer = make_optimizer(options, [nn.Parameter(torch.zeros(2))])
    schedule, found = make_schedule(options, optimizer, STEPS), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    "name",
    ["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"],
)
def test_a_schedule_follows_its_formula(name: str) -> None:
    options = AdamW(learning_rate=1, schedule=name, warmup=WARM, cycles=2, power=2)
    assert factors(options) == pytest.approx([decayed(name, step) for step in range(STEPS)])


def test_a_piecewise_schedule_follows_its_rules() -> None:
    options = AdamW(learning_rate=1, schedule="piecewise_constant", step_rules="1:3,0.5:5,.1")
    assert factors(options) == pytest.approx([1.0] * 3 + [0.5] * 2 + [0.1] * 5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ("optimizer.name=prodigy",),
            "factor of the step size that prodigy estimates by itself; set it to 1",
        ),
        (("optimizer.name=adafactor", "optimizer.betas=[0.8, 0.9]"), "adafactor does not read"),
        (("optimizer.schedule=piecewise_constant",), "step_rules and schedule=piecewise_constant"),
        (("optimizer.step_rules=0.5",), "step_rules"),
        (("optimizer.name=adam",), "no optimizer named 'adam'. Did you mean 'adamw'"),
    ],
)
def test_what_an_optimizer_cannot_use_is_refused(
    settings: tuple[str, ...], words: str, plugins: Plugins, tiny_folder: Path, data: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of(plugins, tiny_folder, data, *settings, preset="lora")


class Scaled(trackers.Accelerator):
    """What Accelerate is under fp16 on a GPU: the same, with a gradient scaler."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=2)


def test_a_run_with_a_gradient_scaler_resumes_bit_identically(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "Accelerator", Scaled)
    config = config_of(plugins, tiny_folder, data, preset="lora")
    train_whole_and_killed(config, tmp_path, plugins)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    states = [read_checkpoint(checkpoints(tmp_path / name)[-1]).scaler for name in ("whole", "killed")]
    assert states[0] == states[1]
    assert states[0]["scale"] != 2.0**120, "the scale moved, so that a forgotten one would show"


def test_fp16_without_a_gpu_is_refused(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    settings = ("train.precision=fp16", "train.device=cpu")
    config = config_of(plugins, tiny_folder, data, *settings, preset="lora")
    with pytest.raises(ConfigError, match="fp16 needs a GPU; use bf16 or no"):
        train(config, tmp_path / "run", plugins)


def test_a_process_trains_runs_of_several_precisions(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    losses = []
    for number, precision in enumerate(("no", "bf16", "no")):
        config = config_of(plugins, tiny_folder, data, f"train.precision={precision}", preset="lora", steps=1)
        train(config, tmp_path / f"run{number}", plugins)
        losses.append(read_metrics(tmp_path / f"run{number}")[0]["loss"])
    assert losses[0] == losses[2] != losses[1]
