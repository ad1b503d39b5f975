"""Optimizers and trackers of other packages: they train, resume, are recorded, and are contained."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from command_line import Spf
from installing import installed
from PIL.Image import Image
from pydantic import Field
from test_trainer import config_of, same, train_whole_and_killed, weights

from spf_core.config.merging import merge
from spf_core.errors import ConfigError, PluginError
from spf_core.interfaces import MakesOptimizer, Tracker
from spf_core.plugins import OptimizerConfig, TrackerConfig
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.checkpoint import checkpoints, read_safetensors
from spf_core.runs.provenance import read_provenance
from spf_core.runs.saved_config import saved_config
from spf_core.testing import check_component
from spf_core.training.loop import train


class Momentum(OptimizerConfig):
    """SGD of torch with momentum, which keeps nothing where that is 0."""

    name = "momentum"
    momentum: float = Field(0.9, ge=0, lt=1, description="Decay rate of the sum of gradients.")

    def build(self) -> MakesOptimizer:
        return partial(torch.optim.SGD, lr=self.learning_rate, momentum=self.momentum)


class Odd(torch.optim.Optimizer):
    """Keeps a tensor of a shape of its own, and a number, and says what it was told to do in a group."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "mode": "odd"})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["history"] = torch.cat(
                    [state.get("history", torch.zeros(0)), parameter.grad.sum()[None]]
                )
                state["count"] = state.get("count", 0) + 1
                group["last"] = "step"
                parameter.add_(parameter.grad, alpha=-group["lr"] * float(state["history"].sum().tanh()))


class OddConfig(OptimizerConfig):
    """An optimizer whose state looks like that of no other."""

    name = "odd"

    def build(self) -> MakesOptimizer:
        return partial(Odd, lr=self.learning_rate)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_torch_optimizer_is_brought_in_a_line_and_resumes_bit_identically(
    momentum: float, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    with installed(Momentum):
        plugins = load_plugins()
        settings = ("optimizer.name=momentum", f"optimizer.momentum={momentum}", "optimizer.learning_rate=1")
        config = config_of(plugins, tiny_folder, data, *settings, preset="lora")
        train_whole_and_killed(config, tmp_path, plugins)
        assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_an_optimizer_may_keep_what_no_other_keeps(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    with installed(OddConfig):
        plugins = load_plugins()
        settings = ("optimizer.name=odd", "optimizer.learning_rate=1")
        config = config_of(plugins, tiny_folder, data, *settings, preset="lora")
        train_whole_and_killed(config, tmp_path, plugins)
        assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_the_learning_rate_of_a_preset_stays_when_another_optimizer_is_chosen(
    tiny_folder: Path, data: Path
) -> None:
    with installed(Momentum):
        plugins = load_plugins()
        before = config_of(plugins, tiny_folder, data, preset="spf").optimizer
        for choice in ("optimizer.name=momentum", "optimizer=momentum", "optimizer={name: momentum}"):
            after = config_of(plugins, tiny_folder, data, choice, preset="spf").optimizer
            assert (after.name, after.learning_rate, after.schedule) == (
                "momentum",
                before.learning_rate,
                before.schedule,
            )


def test_options_of_one_optimizer_are_not_given_to_another() -> None:
    named = {"optimizer": {"name": "momentum", "momentum": 0.5, "learning_rate": 1e-3}}
    assert merge(named, {"optimizer": "lion"}) == {"optimizer": {"learning_rate": 1e-3, "name": "lion"}}
    bare = {"optimizer": {"betas": [0.8, 0.9]}}
    assert merge(bare, {"optimizer": {"name": "lion"}})["optimizer"]["betas"] == [0.8, 0.9]


def test_a_configuration_of_an_earlier_version_is_read(tiny_folder: Path, data: Path, tmp_path: Path) -> None:
    plugins = load_plugins()
    earlier = {"betas": [0.9, 0.999], "text_encoder_learning_rate": None, "clip_norm": 1.0, "cycles": 1}
    for name, rate in (("adamw", 1e-3), ("adafactor", 1e-3), ("prodigy", 1.0)):
        config = config_of(plugins, tiny_folder, data, f"optimizer={name}", f"optimizer.learning_rate={rate}")
        (tmp_path / name).mkdir()
        raw = json.loads(config.model_dump_json())
        raw["optimizer"] = {"name": name, "learning_rate": rate, **earlier}
        raw["train"]["trackers"] = ["tensorboard"]
        (tmp_path / name / "config.yaml").write_text(json.dumps(raw), encoding="utf-8")
        read = saved_config(tmp_path / name, plugins)
        assert read.optimizer == config.optimizer
        assert [each.name for each in read.train.trackers] == ["tensorboard"]


def raises(*_: Any, **__: Any) -> Any:
    raise ValueError("it is broken")


def failing(change: Callable[[torch.optim.Optimizer], Any]) -> type[OptimizerConfig]:
    """An optimizer that is changed when it is made."""

    def make(groups: list[dict[str, Any]]) -> Any:
        optimizer = torch.optim.SGD(groups, lr=0.1)
        return change(optimizer) or optimizer

    class Failing(OptimizerConfig):
        """An optimizer with a fault."""

        name = "failing"

        def build(self) -> MakesOptimizer:
            return make

    return Failing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (raises, "makes no optimizer: ValueError: it is broken"),
        (lambda optimizer: 7, "makes 7; make a torch.optim.Optimizer"),
        (lambda optimizer: optimizer.param_groups[0]["params"].clear(), "trains other parameters"),
        (
            lambda optimizer: setattr(optimizer, "step", MethodType(raises, optimizer)),
            "failed in the step: ValueError: it is broken",
        ),
        (
            lambda optimizer: optimizer.param_groups[0].update(hook=raises),
            "cannot be saved: it keeps <function raises",
        ),
    ],
)
def test_a_fault_of_an_optimizer_is_one_line_that_names_the_plugin(
    change: Callable[[torch.optim.Optimizer], Any], words: str, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    with installed(failing(change)):
        plugins = load_plugins()
        config = config_of(plugins, tiny_folder, data, "optimizer=failing", preset="lora", steps=3)
        with pytest.raises(PluginError) as caught:
            train(config, tmp_path / "run", plugins)
    told = str(caught.value)
    assert "optimizer 'failing' of plugin 'of-a-test' 1.0" in told
    assert words in told
    assert "\n" not in told


class Stubborn(torch.optim.SGD):
    """Keeps its first learning rate, and a memory of its own that no checkpoint holds."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, lr=lr)
        self.rate, self.steps = lr, 0

    def step(self, closure: Any = None) -> None:
        self.steps += 1
        for group in self.param_groups:
            group["lr"] = self.rate / self.steps
        super().step()


class StubbornConfig(OptimizerConfig):
    """An optimizer that breaks its contract."""

    name = "stubborn"

    def build(self) -> MakesOptimizer:
        return partial(Stubborn, lr=self.learning_rate)


def test_the_contract_of_an_optimizer_finds_what_breaks_it() -> None:
    found = check_component(StubbornConfig, training=False)
    assert {each.check for each in found if each.state == "failed"} == {
        "imports no torch",  # as this module does
        "takes its learning rate from the schedule",
        "goes on from a checkpoint to the same bits",
        "says what it keeps in memory",
    }


TOLD: list[tuple[Any, ...]] = []


class Listener:
    """Remembers what it is told, and fails where it should."""

    def __init__(self, fails: str) -> None:
        self.fails = fails

    def start(self, run: Path, settings: Mapping[str, Any], step: int) -> None:
        torch.rand(3)  # the run's bits must not depend on it
        self._tell("start", settings["optimizer.name"], step)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._tell("log", step, sorted(numbers)[0])
        assert all(isinstance(value, float) for value in numbers.values())

    def pictures(self, step: int, pictures: Mapping[str, Image]) -> None:
        self._tell("pictures", step, sorted(pictures)[0])

    def finish(self) -> None:
        self._tell("finish")

    def _tell(self, call: str, *values: Any) -> None:
        TOLD.append((call, *values))
        if self.fails == call and values[:1] not in ((1,),):
            raise SystemExit("no network")


class Listening(TrackerConfig):
    """Listens to a run."""

    name = "listening"
    fails: str = Field("", description="Call that fails.")

    def build(self) -> Tracker:
        return Listener(self.fails)


@pytest.fixture
def listening() -> Iterator[None]:
    TOLD.clear()
    with installed(Listening):
        yield


def settings_with(fails: str) -> tuple[str, ...]:
    sampled = ("sample.every=2", "sample.steps=2", "sample.prompts=1")
    return (f"train.trackers=[{{name: listening, fails: '{fails}'}}]", *sampled)


def test_a_tracker_hears_start_numbers_pictures_and_the_end(
    listening: None, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    plugins = load_plugins()
    config = config_of(plugins, tiny_folder, data, *settings_with(""), preset="lora", steps=2)
    train(config, tmp_path / "run", plugins)
    calls = [each[:2] if each[0] in ("log", "pictures") else each for each in TOLD]
    assert calls == [("start", "adamw", 0), ("log", 1), ("log", 2), ("pictures", 2), ("finish",)]
    quiet = config.model_copy(update={"train": config.train.model_copy(update={"trackers": ()})})
    train(quiet, tmp_path / "quiet", plugins)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "quiet"))


def test_a_tracker_goes_on_after_the_step_that_a_run_resumes_from(
    listening: None, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    plugins = load_plugins()
    config = config_of(plugins, tiny_folder, data, "train.trackers=[listening]", preset="lora")
    train_whole_and_killed(config, tmp_path, plugins)
    again = TOLD[[each[0] for each in TOLD].index("finish") + 1 :]
    assert again[0] == ("start", "adamw", 3)
    assert [each[1] for each in again if each[0] == "log"] == [4, 5, 6]


@pytest.mark.parametrize("fails", ["log", "pictures", "finish"])
def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
    fails: str,
    listening: None,
    tiny_folder: Path,
    data: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plugins = load_plugins()
    config = config_of(plugins, tiny_folder, data, *settings_with(fails), preset="lora", steps=4)
    with caplog.at_level(logging.WARNING, logger="spf"):
        train(config, tmp_path / "run", plugins)
    (warning,) = [each.getMessage() for each in caplog.records if "listening" in each.getMessage()]
    assert "tracker 'listening' of plugin 'of-a-test' 1.0" in warning
    assert "SystemExit: no network" in warning
    assert "\n" not in warning
    assert weights(tmp_path / "run")
    assert len([each for each in TOLD if each[0] == fails]) <= 2
    assert TOLD[-1] == ("finish",)


def test_a_tracker_that_cannot_start_ends_the_run_before_its_first_step(
    listening: None, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    plugins = load_plugins()
    config = config_of(plugins, tiny_folder, data, *settings_with("start"), preset="lora", steps=2)
    told = "tracker 'listening' of plugin 'of-a-test' 1.0 cannot start: SystemExit: no network"
    with pytest.raises(PluginError, match=told):
        train(config, tmp_path / "run", plugins)
    assert not checkpoints(tmp_path / "run")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.trackers=[tensorbord]", "no tracker named 'tensorbord'. Did you mean 'tensorboard'"),
        ("train.trackers=tensorboard", "train.trackers: expected a list of trackers, got 'tensorboard'"),
        (
            "train.trackers=[{name: wandb, projekt: x}]",
            "trackers.0.projekt: unknown option 'projekt'. Did you",
        ),
        ("train.trackers=[wandb, wandb]", "train.trackers: 'wandb' is named twice"),
        ("train.trackers=[7]", "train.trackers.0: expected the name of a tracker, got 7"),
        ("optimizer.name=prodgy", "no optimizer named 'prodgy'. Did you mean 'prodigy'"),
        ("optimizer.bettas=[0.9, 0.9]", "optimizer.bettas: unknown option 'bettas'. Did you mean 'betas'"),
    ],
)
def test_a_slip_of_the_pen_is_one_line(setting: str, words: str, tiny_folder: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of(load_plugins(), tiny_folder, data, setting, preset="lora")


def test_a_run_is_sampled_without_the_packages_of_its_optimizer_and_trackers(
    tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    with installed(Momentum, Listening):
        plugins = load_plugins()
        settings = ("optimizer.name=momentum", "train.trackers=[listening]")
        train(
            config_of(plugins, tiny_folder, data, *settings, preset="lora", steps=1),
            tmp_path / "run",
            plugins,
        )
    without = load_plugins()
    assert saved_config(tmp_path / "run", without).optimizer.name == "momentum"


@pytest.fixture(scope="module")
def site(spf: Spf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two installed packages, as `spf plugins new` writes them; no network is used."""
    folder = tmp_path_factory.mktemp("site")
    for kind in ("optimizer", "tracker"):
        out = tmp_path_factory.mktemp("written") / kind
        assert spf("plugins", "new", kind, f"my-{kind}", "--out", out).code == 0
        flags = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "install", *flags, str(out)], check=True)
    return folder


@pytest.mark.slow
def test_installed_packages_train_resume_and_stand_in_the_run_s_record(
    site: Path, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}

    def command(*words: object) -> None:
        line = [sys.executable, "-m", "spf_cli", *map(str, words)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    run = tmp_path / "run"
    settings = (
        *(f"backbone.path={tiny_folder}", "train.batch_size=2", "checkpoint.every=2", "sample.every=0"),
        *("optimizer.momentum=0.8", "train.trackers=[my-tracker]", "train.device=cpu"),
    )
    chosen = [word for setting in settings for word in ("--set", setting)]
    named = ("--preset", "lora", "--plugin", "my-optimizer", "--steps", 4, *chosen)
    command("train", "--data", data, "--out", run, *named)
    whole = weights(run)
    record = read_provenance(run)
    assert record is not None
    used = {each.kind: (each.name, each.provider) for each in record.plugins}
    assert used["optimizer"] == ("my-optimizer", "spf-my-optimizer")
    assert used["tracker"] == ("my-tracker", "spf-my-tracker")
    shutil.rmtree(checkpoints(run)[-1])
    (run / "adapter.safetensors").unlink()
    command("train", "--resume", "--out", run)
    assert same(whole, read_safetensors(run / "adapter.safetensors")[0])
    rows = (run / "my-tracker" / "numbers.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows if ",loss," in row] == ["1", "2", "3", "4"]
