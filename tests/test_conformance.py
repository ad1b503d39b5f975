"""Every architecture passes the same checks: UNets on DDPM's noise, and a transformer on a rectified flow."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_trainer import noise_folder

from spf_core.config.loading import load_run_config
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs.run import OpenRun, open_backbone
from spf_core.testing import (
    check_attention_sites,
    check_component,
    check_diffusers_export,
    check_noise_process,
    check_run,
    check_strength_zero,
)
from spf_core.testing.tiny_models import random_folder, tiny_pipeline, tiny_sd3_pipeline, tiny_xl_pipeline

MODELS = {"sd15": tiny_pipeline, "sdxl": tiny_xl_pipeline, "sd3": tiny_sd3_pipeline}
# Three steps, of which the last is late enough for every term of every preset.
SHORT = {
    "train": {
        **{"steps": 3, "batch_size": 2, "accumulation": 1, "precision": "no", "device": "cpu"},
        "gradient_checkpointing": False,
    },
    "sample": {"steps": 3, "every": 0, "precision": "no", "batch_size": 4},
    "checkpoint": {"every": 2},
}
CALIBRATED = {"calibration": {"prompts": 1}}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A backbone's name and a tiny random model of its architecture."""
    name = request.param
    return name, random_folder(MODELS[name], tmp_path_factory.mktemp("model") / name)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("portraits"))


def run_of(model: tuple[str, Path], preset: str, data: Path, folder: Path, plugins: Plugins) -> OpenRun:
    name, place = model
    calibrated = CALIBRATED if preset == "spf" else {}
    settings = {"data": str(data), "backbone": {"name": name, "path": str(place)}, **SHORT, **calibrated}
    return check_run(load_run_config(plugins, preset=preset, overrides=settings), folder, plugins)


def test_its_noise_process_and_attention_sites_fit(model: tuple[str, Path], plugins: Plugins) -> None:
    name, place = model
    config = load_run_config(
        plugins, preset="lora", overrides={"backbone": {"name": name, "path": str(place)}}
    )
    backbone = open_backbone(config.backbone, "cpu")
    check_noise_process(backbone.noise)
    check_attention_sites(backbone)


@pytest.mark.parametrize("preset", ["lora", "spf-paper", "spf"])
def test_it_trains_resumes_samples_and_is_exported(
    model: tuple[str, Path], preset: str, portraits: Path, tmp_path: Path, plugins: Plugins
) -> None:
    opened = run_of(model, preset, portraits, tmp_path, plugins)
    check_strength_zero(opened)
    check_diffusers_export(opened, tmp_path, plugins)


# What a component needs of its run besides its own options.
SETTINGS: dict[str, dict[str, object]] = {
    "orthogonality": {"adapter": "adalora-adapter"},
    "bank": {"train": {"noise_share": 0.5, "empty_share": 0.0}},
}
LOADS_A_RUN = ("lora-file", "weights-file")
TRIED = (
    "loss",
    "response",
    "control-map",
    "reference",
    "reward",
    "prompt-editor",
    "adapter",
    "metric",
    "score",
    "data-reader",
)
QUICK = ("output-alignment", "sfcm-v1", "adapter-off", "layout", "captioned-images")  # the others take long
CHECKED = [
    pytest.param(name, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for kind in (*TRIED, "suite")
    for name in load_plugins().of_kind(kind)
    if name not in LOADS_A_RUN
]


@pytest.mark.parametrize("name", CHECKED)
def test_a_component_of_ours_passes_the_checks_for_authors(name: str, plugins: Plugins) -> None:
    config = plugins.get(name)
    found = check_component(config, plugins=plugins, settings=SETTINGS.get(name), training=False)
    assert [verdict for verdict in found if verdict.state == "failed"] == []
    assert len([verdict for verdict in found if verdict.state == "passed"]) >= 3
