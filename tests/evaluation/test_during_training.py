"""Purity while a run is trained, and the choice of weights by it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors
from spf_core.training.loop import train

QUICK = ("train.steps=4", "train.batch_size=2", "checkpoint.every=1", "sample.every=0", "sample.steps=2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training folder of two images."""
    path = tmp_path / "images"
    path.mkdir()
    lines = []
    for number, text in enumerate(("an old man", "a young woman")):
        Image.fromarray(np.full((32, 32, 3), 90 * number, np.uint8)).save(path / f"{number}.png")
        row = {"file_name": f"{number}.png", "base_text": text, "target_text": "with a dot"}
        lines.append(json.dumps(row))
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return path


@pytest.fixture
def config(tiny_folder: Path, folder: Path, plugins: Plugins):
    def make(*assignments: str) -> RunConfig:
        asked = ["evaluation.every=2", "evaluation.prompts=2", "evaluation.target=dot", *assignments]
        settings = [f"backbone.path={tiny_folder}", f"data={folder}", "optimizer.learning_rate=0.01"]
        return load_run_config(plugins, preset="lora", assignments=[*settings, *QUICK, *asked])

    return make


def lines_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "purity.jsonl").read_text().splitlines()]


def test_purity_is_measured_on_the_way_and_leaves_training_as_it_was(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    train(config(), tmp_path / "watched", plugins)
    train(config("evaluation.every=0"), tmp_path / "plain", plugins)
    watched, plain = (
        read_safetensors(tmp_path / name / "adapter.safetensors")[0] for name in ("watched", "plain")
    )
    assert all(torch.equal(watched[name], plain[name]) for name in plain)
    lines = lines_of(tmp_path / "watched")
    assert [line["step"] for line in lines] == [2, 4]
    assert set(lines[0]) == {"step", "sps", "effect", "spi", "rec", "hit_rate", "base_leak"}
    results = json.loads((tmp_path / "watched/evaluations/step-000004/results.json").read_text())
    assert results["split"] == "dev"
    assert results["spi"]["value"] == lines[1]["spi"]
    assert not (tmp_path / "plain" / "purity.jsonl").exists()


def test_a_run_can_end_with_its_purest_weights(config, plugins: Plugins, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(config("evaluation.every=1", "evaluation.keep=purest"), run, plugins)
    lines = lines_of(run)
    best = max(lines, key=lambda line: (line["sps"] or 0, line["step"]))
    kept, metadata = read_safetensors(run / "adapter.safetensors")
    assert metadata["spf_step"] == str(best["step"])
    purest, _ = read_safetensors(run / "purest.safetensors")
    assert all(torch.equal(kept[name], purest[name]) for name in purest)


def test_resuming_repeats_no_evaluation_and_forgets_none(config, plugins: Plugins, tmp_path: Path) -> None:
    import shutil

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    settings = config("evaluation.every=1", "checkpoint.keep=4")
    train(settings, whole, plugins)
    shutil.copytree(whole, cut)
    for step in (3, 4):
        shutil.rmtree(cut / "checkpoints" / f"step-{step:06d}")
    train(settings, cut, plugins, resume=True)
    assert lines_of(cut) == lines_of(whole)


def test_a_target_that_nobody_judges_is_refused_before_anything_is_written(
    config, plugins: Plugins, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="target"):
        train(config("evaluation.target=stripes"), tmp_path / "run", plugins)
    assert not (tmp_path / "run").exists()


def test_choosing_without_evaluations_is_refused(config) -> None:
    with pytest.raises(ConfigError, match="keep=purest chooses between evaluations, but there are none"):
        config("evaluation.every=0", "evaluation.keep=purest")
