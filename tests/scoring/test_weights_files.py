"""Whole models beside their base: single files and folders as differences of weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import backbone_of, written
from torch import Tensor

from spf_core.errors import RunError
from spf_core.export.checkpoint import checkpoint_tensors
from spf_plugins.adapters.files.weights_file import WeightsFile
from spf_plugins.backbones.stable_diffusion import StableDiffusion

Save = Callable[[Any, Path], Path]


def parameters(backbone: StableDiffusion) -> dict[str, Tensor]:
    parts = backbone.pipeline().components
    return {
        f"{part}.{name}": tensor.detach().clone()
        for part in ("unet", "text_encoder", "text_encoder_2")
        if parts.get(part) is not None
        for name, tensor in parts[part].named_parameters()
    }


def moved(folder: Path) -> StableDiffusion:
    """The model with every third of its parameters changed."""
    other = backbone_of(folder)
    torch.manual_seed(4)
    parts = other.pipeline().components
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for number, each in enumerate(parts[part].parameters() if parts.get(part) is not None else ()):
            if number % 3 == 0:
                each.data += 0.1 * torch.randn_like(each)
    return other


def single_file(backbone: StableDiffusion, place: Path) -> Path:
    return written(place.with_suffix(".safetensors"), checkpoint_tensors(backbone.pipeline()))


def in_a_folder(backbone: StableDiffusion, place: Path) -> Path:
    backbone.pipeline().save_pretrained(place, safe_serialization=True)
    return place


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue("tiny_folder" if request.param == "sd15" else "tiny_xl_folder")
    return found


@pytest.mark.parametrize("save", [single_file, in_a_folder])
def test_every_weight_moves_by_the_strength(save: Save, folder: Path, tmp_path: Path) -> None:
    base, tuned = backbone_of(folder), moved(folder)
    original, trained = parameters(base), parameters(tuned)
    adapter = WeightsFile(save(tuned, tmp_path / "tuned"))
    adapter.attach(base)
    changed = {name for name in original if not torch.equal(original[name], trained[name])}
    assert set(adapter.merged()) == changed
    for strength in (1.0, 0.3, 0.0, 1.0):
        adapter.scale(strength)
        for name, now in parameters(base).items():
            wanted = original[name] + strength * (trained[name] - original[name])
            assert torch.equal(now, wanted) if strength in (0.0, 1.0) else torch.allclose(now, wanted)
        with adapter.disabled():
            assert all(map(torch.equal, parameters(base).values(), original.values()))
    adapter.detach()
    assert all(map(torch.equal, parameters(base).values(), original.values()))


def refused(path: Path, base: StableDiffusion) -> str:
    with pytest.raises(RunError) as caught:
        WeightsFile(path).attach(base)
    (message,) = str(caught.value).splitlines()
    return message


def test_models_of_another_architecture(tiny_folder: Path, tiny_xl_folder: Path, tmp_path: Path) -> None:
    base, other = backbone_of(tiny_folder), backbone_of(tiny_xl_folder)
    assert "another architecture" in refused(single_file(other, tmp_path / "xl"), base)
    assert "another architecture" in refused(in_a_folder(other, tmp_path / "xl"), base)
    assert "--backbone" in refused(single_file(base, tmp_path / "sd"), other)


def test_the_base_itself_and_folders_without_weights(tiny_folder: Path, tmp_path: Path) -> None:
    base = backbone_of(tiny_folder)
    assert "nothing to measure" in refused(tiny_folder, base)
    assert "unet/*.safetensors" in refused(tmp_path, base)


def test_a_model_that_predicts_v(tiny_folder: Path, tmp_path: Path) -> None:
    base, tensors = backbone_of(tiny_folder), checkpoint_tensors(moved(tiny_folder).pipeline())
    file = written(tmp_path / "v.safetensors", {**tensors, "v_pred": torch.zeros(0)})
    assert "predicts v" in refused(file, base)
