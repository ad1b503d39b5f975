"""Memory options change no result: gradients with and without checkpointing, and in half precision."""

from pathlib import Path
from typing import Any

import pytest
import torch
from steps import batch_of, config_of, parts_of, run
from test_trainer import FAST, noise_folder

from spf_core.config.loading import load_run_config
from spf_core.config.sections import TrainSection
from spf_core.errors import ConfigError
from spf_core.interfaces import Checkpointing, OffloadsTextEncoders
from spf_core.plugins.discovery import load_plugins
from spf_core.training.loop import train
from spf_core.training.resources.memory_options import save_memory
from spf_core.training.run_log import read_metrics
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.response.clip import at_most


def gradients(folder: Path, preset: str, twice: bool, *assignments: str) -> list[torch.Tensor]:
    parts = parts_of(config_of(folder, *assignments, preset=preset))
    if twice:
        parts.backbone.checkpoint_gradients()  # type: ignore[attr-defined]
    run(parts)[1].total.backward()
    return [parameter.grad for parameter in parts.adapter.parameters() if parameter.grad is not None]


class Saved:
    """Bytes that autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.storages: dict[int, int] = {}

    def __enter__(self) -> "Saved":
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def total(self) -> int:
        return sum(self.storages.values())


@pytest.mark.parametrize("preset", ["lora", "spf-paper", "naive", "tokencompose"])
def test_computing_activations_twice_leaves_the_gradients(preset: str, tiny_folder: Path) -> None:
    """Also where attention is recorded, which happens inside the blocks that are computed again."""
    kept, again = (gradients(tiny_folder, preset, twice) for twice in (False, True))
    assert kept
    for one, other in zip(kept, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_computing_activations_twice_keeps_less(tiny_folder: Path) -> None:
    sizes = []
    for twice in (False, True):
        parts = parts_of(config_of(tiny_folder))
        batch = batch_of(parts)
        if twice:
            parts.backbone.checkpoint_gradients()  # type: ignore[attr-defined]
        with Saved() as saved:
            parts.backbone.predict(batch.latents_BCHW, torch.full((4,), 500), batch.complete)
        sizes.append(saved.total)
    assert sizes[1] < 0.5 * sizes[0]


def test_a_run_trains_with_checkpointing(tiny_folder: Path, tmp_path: Path) -> None:
    losses = []
    for value in ("false", "true"):
        config = load_run_config(
            load_plugins(),
            preset="spf-paper",
            overrides={"data": str(noise_folder(_made(tmp_path / f"data-{value}"))), "train": {"steps": 3}},
            assignments=[f"backbone.path={tiny_folder}", *FAST, f"train.gradient_checkpointing={value}"],
        )
        train(config, tmp_path / value, load_plugins())
        losses.append([line["loss"] for line in read_metrics(tmp_path / value)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_a_backbone_that_cannot_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.gradient_checkpointing: .* set it to false"):
        save_memory(object(), TrainSection(gradient_checkpointing=True))  # type: ignore[arg-type]


def test_parked_encoders_go_on_encoding(tiny_backbone: StableDiffusion) -> None:
    assert isinstance(tiny_backbone, OffloadsTextEncoders)
    assert isinstance(tiny_backbone, Checkpointing)
    prompts = [Prompt("an old man", "wearing a hat")]
    before = tiny_backbone.encode_prompts(prompts, with_target=True)
    tiny_backbone.offload_text_encoders()
    after = tiny_backbone.encode_prompts(prompts, with_target=True)
    assert torch.equal(before.embeds_BLD, after.embeds_BLD)
    assert next(tiny_backbone.text_encoder.parameters()).device.type == "cpu"


@pytest.mark.parametrize("preset", ["lora", "spf-paper", "naive"])
def test_half_precision_weights_learn_nearly_the_same(preset: str, tiny_folder: Path) -> None:
    whole = gradients(tiny_folder, preset, False, "backbone=sd15", f"backbone.path={tiny_folder}")
    half = gradients(
        tiny_folder, preset, False, "backbone=sd15", f"backbone.path={tiny_folder}", "backbone.dtype=bfloat16"
    )
    one, other = (torch.cat([each.flatten() for each in found]) for found in (whole, half))
    assert other.dtype == torch.float32
    assert torch.cosine_similarity(one, other, dim=0) > 0.9


def test_estimates_are_averaged_down_to_the_size_that_is_decoded() -> None:
    latents = torch.arange(2 * 8 * 16, dtype=torch.float32).view(1, 2, 8, 16)
    assert at_most(latents, 16) is latents
    smaller = at_most(latents, 8)
    assert smaller.shape == (1, 2, 4, 8)
    assert smaller[0, 0, 0, 0] == latents[0, 0, :2, :2].mean()
