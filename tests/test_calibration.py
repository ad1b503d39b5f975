"""The search for the latest handover, and what a run keeps of it."""

import json
import re
from pathlib import Path

import pytest
import torch
from test_sampling import lora_that_changes_something
from test_trainer import config_of, noise_folder

from spf_core.config.sections import CalibrationSection, SampleSection
from spf_core.errors import RunError
from spf_core.interfaces import Adapter
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.runs.run import HANDOVER, open_run
from spf_core.sampling.handover import CALIBRATION_FILE, Calibration, calibrate_handover, read_calibration
from spf_core.training.trainer import train
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion

SAMPLE = SampleSection(steps=10, handover=0.8, batch_size=4)
BASE = ("a portrait of an old man", "a young woman")
TARGETS = ("young woman", "wearing a hat", "style")


@pytest.fixture
def tuned(tiny_backbone: StableDiffusion):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lora_that_changes_something(tiny_backbone)


def calibrated(backbone: StableDiffusion, lora: Adapter, target: str, keep: float = 0.9) -> Calibration:
    prompts = [Prompt(text, target) for text in BASE]
    return calibrate_handover(backbone, lora, None, prompts, CalibrationSection(keep=keep), SAMPLE)


def searches(backbone: StableDiffusion, lora: Adapter, *, responds: bool, keep: float) -> list[Calibration]:
    """Of targets that the random model responds to, or of those that it turns away from."""
    found = [calibrated(backbone, lora, target, keep) for target in TARGETS]
    chosen = [each for each in found if (each.responses[SAMPLE.handover] > 0) == responds]
    assert chosen, "a random model does either"
    return chosen


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_it_is_the_latest_that_keeps_the_response(
    tiny_backbone: StableDiffusion, tuned: Adapter, keep: float
) -> None:
    for found in searches(tiny_backbone, tuned, responds=True, keep=keep):
        full = found.responses[SAMPLE.handover]
        assert found.responses[found.handover] >= keep * full
        lower = [level for level in found.responses if level < found.handover]
        if found.handover > 0.05:
            assert found.responses[max(lower)] < keep * full
            assert found.handover - max(lower) == pytest.approx(0.05)
        assert len(found.responses) < 7, "it searches, in place of trying all 16"


def test_where_nothing_responds_the_handover_stays(tiny_backbone: StableDiffusion, tuned: Adapter) -> None:
    for found in searches(tiny_backbone, tuned, responds=False, keep=0.9):
        assert list(found.responses) == [SAMPLE.handover]
        assert found.handover == SAMPLE.handover


def test_the_adapter_is_as_it_was_and_the_search_repeats_itself(
    tiny_backbone: StableDiffusion, tuned: Adapter
) -> None:
    before = {name: value.clone() for name, value in tuned.state_dict().items()}
    first, again = (calibrated(tiny_backbone, tuned, TARGETS[0]) for _ in range(2))
    assert first.responses == again.responses
    assert all(torch.equal(before[name], value) for name, value in tuned.state_dict().items())


def test_a_run_samples_from_the_handover_that_was_found(
    plugins: Plugins, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = ("calibration.enabled=true", "sample.steps=4", "sample.handover=0.8", "calibration.prompts=3")
    (tmp_path / "data").mkdir()
    config = config_of(plugins, tiny_folder, noise_folder(tmp_path / "data"), *settings, preset="lora")
    train(config, tmp_path / "run", plugins)
    found = read_calibration(tmp_path / "run")
    assert found is not None
    assert found.handover in found.responses
    assert found.seconds > 0
    opened = open_run(tmp_path / "run", plugins)
    assert opened.config.sample == config.sample.model_copy(update={"handover": found.handover})

    file = tmp_path / "run" / "adapter.safetensors"
    tensors, metadata = read_safetensors(file)
    assert float(metadata[HANDOVER]) == found.handover
    for damaged in ("soon", "1.5", "nan"):
        write_safetensors(file, tensors, {**metadata, HANDOVER: damaged})
        with pytest.raises(RunError, match=re.escape(f"'{file}' names {HANDOVER}='{damaged}'")):
            open_run(tmp_path / "run", plugins)


def test_without_calibration_nothing_is_found(plugins: Plugins, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    train(
        config_of(plugins, tiny_folder, noise_folder(tmp_path / "data"), preset="lora", steps=1),
        tmp_path / "run",
        plugins,
    )
    assert read_calibration(tmp_path / "run") is None
    (tmp_path / "run" / CALIBRATION_FILE).write_text(json.dumps({"handover": "?"}))
    with pytest.raises(ValueError, match="handover"):
        read_calibration(tmp_path / "run")
