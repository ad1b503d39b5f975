"""Ctrl-C and SIGTERM at bad moments: before the steps, inside one, and while a checkpoint is written."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from test_trainer import config_of, noise_folder, same, weights

from spf_core.errors import InterruptedRunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs import checkpoint
from spf_core.runs.checkpoint import checkpoints
from spf_core.training.run_log import read_metrics
from spf_core.training.trainer import train
from spf_core.utils.interrupts import REPEATED, SIGNALS, listening

MEMORY = ("control_map=sfcm-v2", "losses.fine-grained.start=0", "train.ema_decay=0.9")


def press(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return noise_folder(tmp_path / "data")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_step_is_finished_before_the_run_stops(
    plugins: Plugins,
    tiny_folder: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    config, run, calls = config_of(plugins, tiny_folder, folder, *MEMORY, steps=4), tmp_path / "run", []
    step = torch.optim.AdamW.step

    def pressed_after(self: torch.optim.AdamW, *arguments: Any) -> Any:
        done = step(self, *arguments)
        calls.append(1)
        if len(calls) == 2:
            press(number)  # the weights have moved, the count of steps has not
            press(number)
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", pressed_after)
    with pytest.raises(InterruptedRunError, match="step 2 is saved"):
        train(config, run, plugins)
    assert [line["step"] for line in read_metrics(run)] == [1, 2]
    train(config, run, plugins, resume=True)
    monkeypatch.undo()
    train(config, tmp_path / "whole", plugins)
    assert same(weights(run), weights(tmp_path / "whole"))


def test_ctrl_c_while_a_checkpoint_is_written_leaves_whole_ones(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, calls = config_of(plugins, tiny_folder, folder, steps=6), tmp_path / "run", []
    real = checkpoint.save_file

    def pressed_within(tensors: Any, path: Any, metadata: Any) -> None:
        calls.append(path)
        real(tensors, path, metadata)
        if len(calls) >= 3:  # the files of the second checkpoint
            press()

    monkeypatch.setattr(checkpoint, "save_file", pressed_within)
    with pytest.raises(InterruptedRunError, match="step 6 is saved"):
        train(config, run, plugins)
    monkeypatch.undo()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-000003", "step-000006"]
    assert (checkpoints(run)[-1] / "state.json").is_file()
    train(config, run, plugins, resume=True)
    train(config, tmp_path / "whole", plugins)
    assert same(weights(run), weights(tmp_path / "whole"))


def test_before_the_first_step_nothing_is_left_and_the_same_command_starts_again(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, folder, steps=2)

    def pressed(stage: str, *numbers: int, **values: float) -> None:
        press(signal.SIGTERM)
        press()

    with pytest.raises(InterruptedRunError, match="the same command"):
        train(config, tmp_path / "run", plugins, progress=pressed)
    assert not (tmp_path / "run").exists()
    train(config, tmp_path / "run", plugins)


def test_a_signal_that_a_library_swallowed_is_raised_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, raised = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with listening():
        for moment in (100.0, 101.0, 102.0, 103.0 + REPEATED, 104.0 + REPEATED):
            now[0] = moment
            try:
                press()
            except KeyboardInterrupt:
                raised.append(moment)
    assert raised == [100.0, 103.0 + REPEATED]


def test_afterwards_the_signals_do_what_they_did_before() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with listening():
        assert [signal.getsignal(each) for each in SIGNALS] != before
    assert [signal.getsignal(each) for each in SIGNALS] == before
