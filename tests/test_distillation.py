"""The handover distilled into the weights: what it teaches, and what a run keeps of it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from test_sampling import lora_that_changes_something
from test_trainer import config_of, noise_folder

from spf_core.config.sections import DistillationSection, SampleSection, TrainSection
from spf_core.errors import ConfigError, NonFiniteError
from spf_core.interfaces import Adapter
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import open_run
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.training.finish.distillation import Distillation, distil_handover, read_distillation
from spf_core.training.loop import train
from spf_core.training.trackers import make_accelerator
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.optimizers import AdamW

SAMPLE = SampleSection(steps=5, handover=0.6, batch_size=4, guidance=2.0)
PROMPTS = [
    Prompt("a portrait of an old man, in the park", "wearing a hat"),
    Prompt("a woman, red hair", "wearing a hat"),
]


@pytest.fixture
def tuned(tiny_backbone: StableDiffusion):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lora_that_changes_something(tiny_backbone)


def distilled(
    backbone: StableDiffusion, lora: Adapter, steps: int, rate: float = 3e-3, **others: object
) -> Distillation:
    accelerator = make_accelerator(TrainSection(), backbone.device)
    optimizer = AdamW(learning_rate=rate, schedule="cosine")
    options = DistillationSection(steps=steps, batch_size=8)
    return distil_handover(backbone, lora, PROMPTS, options, optimizer, SAMPLE, accelerator, seed=0, **others)


def pixels(backbone: StableDiffusion, lora: Adapter, *, handover: float, plain: bool) -> torch.Tensor:
    texts, base = [[each.complete_text for each in PROMPTS], [each.base_text for each in PROMPTS]]
    before = None if plain else BeforeHandover(base, lora)
    options = SAMPLE.model_copy(update={"handover": handover})
    drawn = sample_images(backbone, texts, [0, 1], options, before_handover=before)
    return torch.stack([torch.from_numpy(np.array(each)).float() for each in drawn])


@pytest.mark.slow
def test_plain_sampling_comes_closer_to_sampling_with_the_handover(
    tiny_backbone: StableDiffusion, tuned: Adapter
) -> None:
    wanted = pixels(tiny_backbone, tuned, handover=0.6, plain=False)
    before = (pixels(tiny_backbone, tuned, handover=1.0, plain=True) - wanted).abs().mean()
    found = distilled(tiny_backbone, tuned, 150)
    after = (pixels(tiny_backbone, tuned, handover=1.0, plain=True) - wanted).abs().mean()
    assert after < before / 2
    assert found.last_loss < found.first_loss / 4
    assert (found.handover, found.steps) == (0.6, 150)


def test_the_same_seed_gives_the_same_weights(tiny_backbone: StableDiffusion, tuned: Adapter) -> None:
    teacher = {name: value.clone() for name, value in tuned.state_dict().items()}
    distilled(tiny_backbone, tuned, 7)
    first = {name: value.clone() for name, value in tuned.state_dict().items()}
    tuned.load_state_dict(teacher)
    distilled(tiny_backbone, tuned, 7)
    assert all(torch.equal(first[name], value) for name, value in tuned.state_dict().items())
    assert not all(torch.equal(first[name], value) for name, value in teacher.items())


@pytest.mark.parametrize("error", [KeyboardInterrupt, NonFiniteError])
def test_what_fails_or_is_interrupted_leaves_the_weights_of_training(
    tiny_backbone: StableDiffusion, tuned: Adapter, error: type[BaseException]
) -> None:
    before = {name: value.clone() for name, value in tuned.state_dict().items()}

    def stop(stage: str, done: int, total: int, **values: float) -> None:
        if done == 3 and error is KeyboardInterrupt:
            raise KeyboardInterrupt

    with pytest.raises(error):
        distilled(tiny_backbone, tuned, 20, rate=3e-3 if error is KeyboardInterrupt else 1e30, progress=stop)
    assert all(torch.equal(before[name], value) for name, value in tuned.state_dict().items())


def test_a_distilled_run_samples_without_a_handover(
    plugins: Plugins, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = ("distillation.enabled=true", "distillation.steps=3", "sample.steps=4", "sample.handover=0.8")
    (tmp_path / "data").mkdir()
    config = config_of(plugins, tiny_folder, noise_folder(tmp_path / "data"), *settings, preset="lora")
    train(config, tmp_path / "run", plugins)
    found = read_distillation(tmp_path / "run")
    assert found is not None
    assert found.handover == 0.8
    assert open_run(tmp_path / "run", plugins).config.sample.handover == 1


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("sample.handover=1", "sample.handover is 1, so there is no handover; set it lower"),
        ("sample.negative=target", "sample.negative=target"),
        ("adapter.text_encoder=true", "adapter.text_encoder=true"),
        ("editor=magnet-editor", "editor=magnet-editor"),
    ],
)
def test_what_cannot_be_distilled_is_said_before_training(
    plugins: Plugins, tiny_folder: Path, tmp_path: Path, setting: str, reason: str
) -> None:
    settings = ("distillation.enabled=true", "sample.handover=0.8", setting)
    with pytest.raises(ConfigError, match=re.escape(f"distillation: {reason}")):
        config_of(plugins, tiny_folder, tmp_path, *settings, preset="lora")
