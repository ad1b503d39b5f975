"""TensorBoard and Weights & Biases: what they are told, after a resume too, and what happens without them."""

import sys
from pathlib import Path

import pytest
from test_trainer import config_of, train_whole_and_killed

from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.testing import check_tracker
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics

SAMPLES = ("sample.every=3", "sample.steps=2", "sample.prompts=1")


def test_tensorboard_has_every_step_once_after_a_resume(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = config_of(plugins, tiny_folder, data, "train.trackers=[tensorboard]", *SAMPLES, preset="lora")
    train_whole_and_killed(config, tmp_path, plugins)
    for name in ("whole", "killed"):
        run = tmp_path / name
        events = EventAccumulator(str(run / "trackers" / "spf")).Reload()
        lines = read_metrics(run)
        assert [event.step for event in events.Scalars("loss")] == [line["step"] for line in lines]
        for tag, key in (("loss", "loss"), ("learning_rate", "learning_rate")):
            told = [event.value for event in events.Scalars(tag)]
            assert told == pytest.approx([line[key] for line in lines])
        terms = [event.value for event in events.Scalars("terms/denoising")]
        assert terms == pytest.approx([line["terms"]["denoising"]["raw"] for line in lines])
        assert [image.step for image in events.Images("samples/grid")] == [3, 6]
        written = (run / "trackers" / "spf").rglob("hparams.yml")
        assert all(str(data) not in file.read_text() for file in written)


def test_tensorboard_keeps_the_contract_of_its_kind(plugins: Plugins) -> None:
    pytest.importorskip("tensorboard")
    check_tracker(plugins.get("tensorboard", "tracker"), training=False)


def test_wandb_keeps_a_run_where_its_environment_says_offline(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = config_of(plugins, tiny_folder, data, "train.trackers=[wandb]", preset="lora", steps=2)
    train(config, tmp_path / "run", plugins)
    (kept,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 0


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_an_absent_tracker_is_named_with_its_package(
    name: str,
    plugins: Plugins,
    tiny_folder: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (name, "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    config = config_of(plugins, tiny_folder, data, f"train.trackers=[{name}]", preset="lora", steps=1)
    with pytest.raises(ConfigError, match=f"train.trackers={name} needs {name}, .*; pip install {name}$"):
        train(config, tmp_path / "run", plugins)
    assert not (tmp_path / "run").exists()


def test_without_trackers_none_is_imported(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, data, preset="lora", steps=1)
    before = {name for name in ("tensorboard", "wandb") if name in sys.modules}
    train(config, tmp_path / "run", plugins)
    assert {name for name in ("tensorboard", "wandb") if name in sys.modules} == before
    assert not (tmp_path / "run" / "trackers").exists()
