"""What a backbone wants in place of a preset's settings, and what wins over that."""

from pathlib import Path
from typing import Any

import pytest

from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import Plugins


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("how", ["flag", "file", "set"])
def test_a_large_backbone_trains_one_picture_at_a_time_at_its_own_rate(
    plugins: Plugins, name: str, how: str, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"backbone: {name}\n")
    ways: dict[str, dict[str, Any]] = {
        "flag": {"backbone": name},
        "file": {"file": file},
        "set": {"assignments": [f"backbone={name}"]},
    }
    spf, naive, mini = (
        load_run_config(plugins, preset=preset, **arguments)
        for preset, arguments in (("spf", ways[how]), ("naive", ways[how]), ("spf", {}))
    )
    train = spf.train
    assert (train.batch_size, train.accumulation, train.precision) == (1, 4, "bf16")
    assert train.gradient_checkpointing
    assert (train.steps, train.max_timestep) == (mini.train.steps, mini.train.max_timestep)
    assert spf.sample.guidance == {"sd15": 7.5, "sdxl": 5.0}[name]
    assert (spf.sample.batch_size, spf.sample.handover) == (4, mini.sample.handover)
    assert (spf.optimizer.learning_rate, naive.optimizer.learning_rate) == (1e-4, 1e-5)
    assert spf.optimizer.schedule == mini.optimizer.schedule == "cosine"
    assert (mini.train.batch_size, mini.optimizer.learning_rate) == (12, 2e-3)


def test_file_and_options_win_over_what_a_backbone_wants(plugins: Plugins, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("train:\n  batch_size: 3\n")
    config = load_run_config(
        plugins, backbone="sdxl", file=file, assignments=["train.accumulation=2", "optimizer.learning_rate=1"]
    )
    assert (config.train.batch_size, config.train.accumulation) == (3, 2)
    assert config.optimizer.learning_rate == 1
    again = tmp_path / "again.yaml"
    again.write_text(config.dump())
    assert load_run_config(plugins, file=again) == config
