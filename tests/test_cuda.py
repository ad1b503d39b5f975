"""Every preset trains and samples on CUDA under bf16 autocast. Skipped where there is no such device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_trainer import train_whole_and_killed, weights

from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import load_plugins
from spf_core.runs.checkpoint import checkpoints, read_checkpoint
from spf_core.runs.run import open_backbone, open_run
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.training.loop import train
from spf_core.training.resources.preparation_estimate import PreparationEstimate
from spf_core.training.resources.run_estimate import memory_rows, preparation_estimate
from spf_core.training.run_log import read_metrics
from spf_core.utils.prompts import Prompt

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
PLUGINS = load_plugins()
STEPS = 4


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four rows of noise with masks."""
    folder, rng, lines = tmp_path_factory.mktemp("masked"), np.random.default_rng(0), []
    for number in range(4):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        Image.fromarray(np.pad(np.full((16, 16), 255, np.uint8), 8)).save(folder / f"{number}-mask.png")
        lines.append(
            {
                "file_name": f"{number}.png",
                "mask": f"{number}-mask.png",
                "base_text": "a portrait of an old man, red hair",
                "target_text": "wearing a hat",
            }
        )
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


PRESETS = [pytest.param(preset, "", id=preset) for preset in sorted(PLUGINS.of_kind("preset"))]
TUNED = pytest.param("spf-paper", "adapter.text_encoder=true", id="spf-paper with the text encoder")


@pytest.mark.parametrize(("preset", "more"), [*PRESETS, TUNED])
def test_a_preset_trains_and_samples_on_cuda(
    preset: str, more: str, masked: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    config = load_run_config(
        PLUGINS,
        preset=preset,
        overrides={"data": str(masked), "train": {"steps": STEPS, "device": "cuda", "precision": "bf16"}},
        assignments=[
            f"backbone.path={tiny_folder}",
            "train.batch_size=2",
            "sample.every=0",
            "sample.steps=3",
            "sample.precision=bf16",
            "calibration.prompts=2",
            *filter(None, [more]),
        ],
    )
    train(config, tmp_path / "run", PLUGINS)
    assert len(read_metrics(tmp_path / "run")) == STEPS
    run = open_run(tmp_path / "run", PLUGINS, device="cuda")
    before_handover = BeforeHandover(["a portrait of an old man"], run.adapter)
    images = sample_images(
        run.backbone, ["a portrait, wearing a hat"], [0], run.config.sample, before_handover=before_handover
    )
    assert np.asarray(images[0]).std() > 0


def test_an_fp16_run_resumes_with_its_gradient_scaler(
    masked: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    config = load_run_config(
        PLUGINS,
        preset="lora",
        overrides={"data": str(masked), "train": {"steps": 6, "device": "cuda", "precision": "fp16"}},
        assignments=[
            f"backbone.path={tiny_folder}",
            "train.batch_size=2",
            "sample.every=0",
            "checkpoint.every=3",
        ],
    )
    train_whole_and_killed(config, tmp_path, PLUGINS)
    runs = [tmp_path / name for name in ("whole", "killed")]
    scalers = [read_checkpoint(checkpoints(run)[-1]).scaler for run in runs]
    assert scalers[0] == scalers[1]
    first, second = map(weights, runs)
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


@pytest.mark.parametrize("preset", ["lora", "spf"])
def test_memory_is_foreseen_on_cuda(preset: str, tiny_folder: Path) -> None:
    assigned = [f"backbone.path={tiny_folder}", "train.device=cuda", "train.precision=bf16"]
    config = load_run_config(PLUGINS, preset=preset, assignments=assigned)
    backbone, adapter = open_backbone(config.backbone, "cuda"), config.adapter.build()
    prompts = [Prompt("a portrait of an old man, red hair", "wearing a hat")] * 4
    rows = preparation_estimate(config, backbone, prompts, 4, (32, 32))
    assert isinstance(rows, PreparationEstimate)
    adapter.attach(backbone)
    told = dict(memory_rows(config, backbone, adapter, prompts, (32, 32), rows))
    assert "MiB" in told["peak memory, estimated"]
