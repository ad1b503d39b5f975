"""Warm starts: training from another run's weights, what it keeps, and what it refuses."""

import shutil
from pathlib import Path

import pytest
import torch
from test_trainer import config_of, same, weights

from spf_core.config.run_config import RunConfig
from spf_core.errors import RunError
from spf_core.interfaces.types import NOTHING, Noised, index
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import rows_of
from spf_core.runs.checkpoint import read_safetensors, write_safetensors
from spf_core.runs.run import file_hash
from spf_core.training.trainer import Trainer, train
from spf_core.training.warm_start import read_warm_start
from spf_core.utils.progress import silent

KINDS = ["lora-adapter", "adalora-adapter", "cross-attention", "full-unet"]
STEPS = ("adapter.warmup=0", "adapter.settle=0.4")


@pytest.fixture
def setting(plugins: Plugins, tiny_folder: Path, data: Path):
    def make(kind: str, *assignments: str, start: Path | None = None, steps: int = 4) -> RunConfig:
        more = (f"adapter={kind}", *(STEPS if kind.startswith("ada") else ()), "checkpoint.every=2")
        begin = (f"train.start_from={start}",) if start else ()
        every = (*more, *begin, *assignments)
        return config_of(plugins, tiny_folder, data, *every, preset="lora", steps=steps)

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_run_begins_where_the_first_ended(plugins, setting, tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(setting(kind), first, plugins)
    train(setting(kind, "optimizer.learning_rate=1e-12", start=first), second, plugins)
    kept = weights(first)
    if kind == "adalora-adapter":
        kept = {name: tensor for name, tensor in kept.items() if not name.endswith("lora_E")}
    assert kept
    for name, tensor in kept.items():
        assert torch.allclose(weights(second)[name], tensor, atol=1e-9), name
    fresh = tmp_path / "fresh"
    train(setting(kind, "optimizer.learning_rate=1e-12"), fresh, plugins)
    assert not same(weights(fresh), weights(second))
    _, metadata = read_safetensors(second / "adapter.safetensors")
    assert metadata["spf_started_from"] == file_hash(first / "adapter.safetensors")
    assert str(tmp_path) not in metadata["spf_config"], "no local path leaks into the weights"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reference", ["adapter-off", "frozen-copy"])
def test_its_reference_path_is_still_the_original_model(
    plugins, setting, loaded_backbone, tmp_path: Path, kind: str, reference: str
) -> None:
    train(setting(kind, "optimizer.learning_rate=0.1"), tmp_path / "first", plugins)
    config = setting(kind, f"reference={reference}", "train.device=cpu", start=tmp_path / "first")
    begun = Trainer(
        config, tmp_path / "second", rows_of(config.preparation), silent, start=read_warm_start(config)
    )
    backbone, base = begun.backbone, index(begun.rows.base, torch.tensor([0]))
    z_t, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([500])
    noised = Noised(z_t, z_t, t, backbone.abar_T[t], torch.tensor([True]))
    referred = begun.parts.reference.run(backbone, begun.adapter, noised, base, NOTHING).pred_BCHW
    with torch.no_grad():
        tuned = backbone.predict(z_t, t, base).pred_BCHW
        original = loaded_backbone.predict(z_t, t, base).pred_BCHW
    assert torch.allclose(referred, original, atol=1e-5)
    assert not torch.allclose(tuned, original, atol=1e-2)


@pytest.mark.parametrize("preset", ["spf-paper", "spf", "naive", "adalora"])
def test_resuming_such_a_run_is_bit_identical_also_when_the_first_run_is_gone(
    plugins, tiny_folder: Path, data: Path, tmp_path: Path, preset: str
) -> None:
    more = ("sample.steps=3", *(STEPS if preset == "adalora" else ()))
    train(config_of(plugins, tiny_folder, data, *more, preset=preset, steps=4), tmp_path / "first", plugins)
    begin = f"train.start_from={tmp_path / 'first'}"
    config = config_of(plugins, tiny_folder, data, *more, begin, preset=preset)
    for name in ("whole", "killed"):
        train(config, tmp_path / name, plugins)
    shutil.rmtree(tmp_path / "first")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "step-000006")
    (tmp_path / "killed" / "adapter.safetensors").unlink()
    train(config, tmp_path / "killed", plugins, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    whole, killed = (
        read_safetensors(tmp_path / name / "adapter.safetensors")[1] for name in ("whole", "killed")
    )
    assert whole == killed


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (("adapter=full-unet",), ("adapter.name='lora-adapter'", "'full-unet' here")),
        (("adapter.rank=2",), ("adapter.rank=8", "2 here")),
        (("adapter.alpha=3",), ("adapter.alpha=None", "3.0 here")),
        (("adapter.attention=cross",), ("adapter.attention='both'", "'cross' here")),
    ],
)
def test_another_adapter_is_refused_before_anything_is_written(
    plugins, setting, tmp_path: Path, assignments, words
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(setting("lora-adapter"), first, plugins)
    with pytest.raises(RunError) as caught:
        train(setting("lora-adapter", *assignments, start=first), second, plugins)
    assert all(word in str(caught.value) for word in (str(first), *words)), caught.value
    assert not second.exists()


def test_weights_that_do_not_fit_are_refused_by_name(plugins, setting, tmp_path: Path) -> None:
    train(setting("lora-adapter"), tmp_path / "first", plugins)
    file = tmp_path / "first" / "adapter.safetensors"
    tensors, metadata = read_safetensors(file)
    name = next(iter(tensors))
    write_safetensors(file, {**tensors, name: tensors[name][:3]}, metadata)
    with pytest.raises(RunError, match=r"train.start_from: '.*first' does not fit: .*has shape \[3,"):
        train(setting("lora-adapter", start=tmp_path / "first"), tmp_path / "second", plugins)
    write_safetensors(file, tensors, {**metadata, "spf_backbone": "another"})
    with pytest.raises(RunError, match="was trained on the backbone with hash another"):
        train(setting("lora-adapter", start=tmp_path / "first"), tmp_path / "third", plugins)
