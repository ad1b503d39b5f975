"""A model folder whose settings are wrong is refused when it is loaded, in one line that names the part."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from spf_core.errors import RunError
from spf_plugins.backbones.stable_diffusion import StableDiffusion

NESTED = "[" * 100_000
WRONG: list[tuple[str, str, Any]] = [
    ("unet/config.json", "sample_size", "x"),
    ("unet/config.json", "sample_size", 0),
    ("unet/config.json", "sample_size", 10**18),
    ("unet/config.json", "block_out_channels", "x"),
    ("unet/config.json", "block_out_channels", []),
    ("unet/config.json", "layers_per_block", -1),
    ("unet/config.json", "downsample_padding", []),
    ("unet/config.json", "norm_num_groups", 0),
    ("unet/config.json", "cross_attention_dim", {}),
    ("vae/config.json", "scaling_factor", "x"),
    ("vae/config.json", "scaling_factor", None),
    ("vae/config.json", "scaling_factor", float("nan")),
    ("vae/config.json", "layers_per_block", -1),
    ("vae/config.json", "latent_channels", 3),
    ("scheduler/scheduler_config.json", "num_train_timesteps", 0),
    ("scheduler/scheduler_config.json", "num_train_timesteps", "x"),
    ("scheduler/scheduler_config.json", "beta_end", 1e30),
    ("scheduler/scheduler_config.json", "beta_schedule", ["linear"]),
    ("scheduler/scheduler_config.json", "prediction_type", 3),
    ("text_encoder/config.json", "hidden_size", "x"),
    ("text_encoder/config.json", "hidden_act", None),
    ("text_encoder/config.json", "num_attention_heads", 0),
    ("clip/config.json", "projection_dim", [1, "x"]),
    ("clip/config.json", "vision_config", 3),
    ("clip/preprocessor_config.json", "image_mean", [0.5, 0.5]),
    ("clip/preprocessor_config.json", "image_std", [0.5, 0.5, "x"]),
    ("clip/preprocessor_config.json", "image_std", [0, 0, 0]),
    ("tokenizer/tokenizer_config.json", "model_max_length", "x"),
    ("tokenizer/tokenizer_config.json", "model_max_length", 10**30),
    ("model_index.json", "_class_name", [1] * 1000),
]


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model; weights are links, settings are files of its own."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def refused(folder: Path, part: str) -> None:
    with pytest.raises(RunError) as refusal:
        StableDiffusion(folder)
    message = str(refusal.value)
    assert part in message
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(("file", "key", "value"), WRONG)
def test_a_setting_of_a_wrong_type_or_size_names_its_part(
    folder: Path, file: str, key: str, value: Any
) -> None:
    settings = json.loads((folder / file).read_text(encoding="utf-8"))
    (folder / file).write_text(json.dumps({**settings, key: value}), encoding="utf-8")
    refused(folder, str(folder / Path(file).parent))


@pytest.mark.parametrize(
    "content", ["", "[]", "3", NESTED, '{"a":', "\0", '{"a": ' + "9" * 5000 + "}"], ids=range(7)
)
@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "model_index.json",
        "clip/preprocessor_config.json",
    ],
)
def test_settings_that_are_no_json_object_name_their_part(folder: Path, file: str, content: str) -> None:
    (folder / file).write_text(content, encoding="utf-8")
    refused(folder, str(folder / Path(file).parent))
