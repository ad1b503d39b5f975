"""Training through its public function: what a run leaves behind, resuming, and what stops it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from installing import installed
from PIL import Image

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import NonFiniteError, RunError
from spf_core.interfaces import Term
from spf_core.plugins import LossConfig
from spf_core.plugins.discovery import Plugins, load_plugins
from spf_core.runs import checkpoint
from spf_core.runs.checkpoint import checkpoints, read_safetensors
from spf_core.runs.run import open_run
from spf_core.runs.saved_config import saved_config
from spf_core.training.loop import train
from spf_core.training.run_log import read_metrics

FAST = (
    "train.batch_size=2",
    "checkpoint.every=3",
    "sample.every=0",
    "sample.steps=4",
    "calibration.prompts=2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_folder(tmp_path_factory.mktemp("data"))


def noise_folder(path: Path) -> Path:
    """Five rows whose images are noise."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(5):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path / f"{number}.png")
        rows.append(
            {
                "file_name": f"{number}.png",
                "base_text": "a portrait of an old man, red hair",
                "target_text": "wearing a hat",
            }
        )
    (path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return path


def config_of(
    plugins: Plugins, tiny: Path, data: Path, *assignments: str, preset: str = "spf-paper", steps: int = 6
) -> RunConfig:
    return load_run_config(
        plugins,
        preset=preset,
        overrides={"data": str(data), "train": {"steps": steps}},
        assignments=[f"backbone.path={tiny}", *FAST, *assignments],
    )


def train_whole_and_killed(config: RunConfig, folder: Path, plugins: Plugins) -> None:
    """folder/whole in one go, and folder/killed, which lost its end and was resumed from step 3."""
    train(config, folder / "whole", plugins)
    shutil.copytree(folder / "whole", folder / "killed")
    shutil.rmtree(folder / "killed" / "checkpoints" / "step-000006")
    (folder / "killed" / "adapter.safetensors").unlink()
    train(config, folder / "killed", plugins, resume=True)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_safetensors(run / "adapter.safetensors")[0]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_holds_config_metrics_checkpoints_samples_and_weights(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    config = config_of(plugins, tiny_folder, folder, "sample.every=6", "sample.steps=2", "sample.prompts=2")
    train(config, tmp_path / "run", plugins)
    run = tmp_path / "run"
    assert saved_config(run, plugins) == config
    assert [path.name for path in checkpoints(run)] == ["step-000003", "step-000006"]
    assert {path.name for path in (run / "samples").iterdir()} == {
        "step-000006-grid.png",
        "step-000006-maps.png",
    }
    lines = read_metrics(run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert set(lines[0]["terms"]) == {"denoising"}
    assert set(lines[5]["terms"]) == {"denoising", "text-consistency", "fine-grained", "clip-region"}
    assert 0 <= lines[5]["map_mean"] <= 1
    for line in lines:
        assert line["loss"] == pytest.approx(sum(term["weighted"] for term in line["terms"].values()))
    _, metadata = read_safetensors(run / "adapter.safetensors")
    assert metadata["spf_step"] == "6"
    assert str(folder) not in metadata["spf_config"], "no local path leaks into the weights"


REMEMBERING = (
    "control_map=sfcm-v2",
    "counterfactuals.enabled=false",
    "losses.fine-grained.start=0",
    "train.noise_share=0.3",
)


@pytest.mark.parametrize(
    ("preset", "more"),
    [("spf-paper", ()), ("spf", ()), ("spf", REMEMBERING), ("naive", ())],
    ids=["spf-paper", "spf", "spf with a map that remembers", "naive"],
)
def test_resuming_after_a_kill_gives_bit_identical_weights(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path, preset: str, more: tuple[str, ...]
) -> None:
    settings = ("optimizer.schedule=cosine", "train.accumulation=2", "sample.steps=3", *more)
    config = config_of(plugins, tiny_folder, folder, *settings, preset=preset)
    train_whole_and_killed(config, tmp_path, plugins)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    times = {"seconds", "preparation_seconds", "peak_memory_mib"}
    whole, killed = (
        [{key: line[key] for key in line.keys() - times} for line in read_metrics(tmp_path / name)]
        for name in ("whole", "killed")
    )
    assert whole == killed


def test_looking_at_samples_does_not_change_training(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    for name, every in (("watched", 2), ("alone", 0)):
        settings = (f"sample.every={every}", "sample.steps=2", "sample.prompts=2", *REMEMBERING)
        train(config_of(plugins, tiny_folder, folder, *settings), tmp_path / name, plugins)
    assert same(weights(tmp_path / "watched"), weights(tmp_path / "alone"))


def test_training_moves_the_weights_and_the_seed_decides_where(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(
            config_of(plugins, tiny_folder, folder, f"train.seed={seed}", steps=2), tmp_path / name, plugins
        )
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))
    assert any(
        "lora_B" in name and tensor.abs().max() > 0 for name, tensor in weights(tmp_path / "a").items()
    )


class NanLoss(LossConfig):
    """Not a number."""

    name = "nan-loss"

    def build(self) -> Term:
        return lambda state: state.response.pred_BCHW.mean() * float("nan")


def test_nan_in_a_loss_stops_names_it_and_keeps_the_last_checkpoint(
    tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    with installed(NanLoss):
        with_nan = load_plugins()
    config = load_run_config(
        with_nan,
        chosen=["nan-loss"],
        overrides={"data": str(folder), "train": {"steps": 6}},
        assignments=[f"backbone.path={tiny_folder}", *FAST, "losses.nan-loss.start=0.6"],
    )
    with pytest.raises(NonFiniteError) as caught:
        train(config, tmp_path / "run", with_nan)
    message = str(caught.value)
    assert "'nan-loss' became nan in step 5" in message
    assert ".png" in message
    assert "at t = " in message
    assert "step-000003" in message
    assert "\n" not in message
    assert all(
        bool(torch.isfinite(t).all())
        for t in read_safetensors(checkpoints(tmp_path / "run")[-1] / "adapter.safetensors")[0].values()
    )


def test_ctrl_c_saves_and_says_how_to_resume(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    def press(stage: str, done: int, total: int, **values: float) -> None:
        if stage == "training" and done == 4:
            raise KeyboardInterrupt

    config = config_of(plugins, tiny_folder, folder)
    run = tmp_path / "run"
    with pytest.raises(RunError, match=r"step 4 is saved.*spf train --resume --out"):
        train(config, run, plugins, progress=press)
    assert checkpoints(run)[-1].name == "step-000004"
    train(config, run, plugins, resume=True)
    train(config, tmp_path / "whole", plugins)
    assert same(weights(run), weights(tmp_path / "whole"))


def test_no_space_left_keeps_the_old_checkpoint(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checkpoint.save_file, []

    def fill_the_disk(tensors, path, metadata):  # the operating system's answer when a disk is full
        calls.append(path)
        if len(calls) > 3:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        real(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", fill_the_disk)
    run = tmp_path / "run"
    with pytest.raises(RunError, match="no space left on the disk"):
        train(config_of(plugins, tiny_folder, folder), run, plugins)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000003"], (
        "nothing half-written stays"
    )
    monkeypatch.undo()
    train(config_of(plugins, tiny_folder, folder), run, plugins, resume=True)
    train(config_of(plugins, tiny_folder, folder), tmp_path / "whole", plugins)
    assert same(weights(run), weights(tmp_path / "whole"))


def test_a_folder_that_is_not_empty_is_refused(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        train(config_of(plugins, tiny_folder, folder), tmp_path, plugins)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_weights_of_another_backbone_and_damaged_weights_are_refused(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(config_of(plugins, tiny_folder, folder, steps=1), run, plugins)
    assert open_run(run, plugins).adapter_hash
    tensors, metadata = read_safetensors(run / "adapter.safetensors")
    checkpoint.write_safetensors(
        run / "adapter.safetensors", tensors, {**metadata, "spf_backbone": "another"}
    )
    with pytest.raises(RunError, match="trained on the backbone with hash another"):
        open_run(run, plugins)
    (run / "adapter.safetensors").write_bytes(b"\x10garbage")
    with pytest.raises(RunError, match="damaged or not a safetensors file"):
        open_run(run, plugins)
    (run / "adapter.safetensors").unlink()
    with pytest.raises(RunError, match="the run did not finish"):
        open_run(run, plugins)


def test_a_checkpoint_of_another_backbone_is_not_resumed(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    train(config_of(plugins, tiny_folder, folder, steps=3), run, plugins)
    shutil.copytree(tiny_folder, other)
    file = other / "unet" / "diffusion_pytorch_model.safetensors"
    tensors, metadata = read_safetensors(file)
    checkpoint.write_safetensors(file, {name: tensor * 1.01 for name, tensor in tensors.items()}, metadata)
    heard: list[str] = []

    def progress(stage: str, *_: int, **__: float) -> None:
        heard.append(stage)

    with pytest.raises(RunError, match="was trained on the backbone with hash"):
        train(config_of(plugins, other, folder, steps=6), run, plugins, resume=True, progress=progress)
    assert heard == [], "it is refused before images are encoded"


def test_captions_beyond_the_encoders_length_are_counted_and_warned_of(
    plugins: Plugins, tiny_folder: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    rows = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    rows[2]["base_text"] = "a portrait of a man, " * 40
    (data / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    train(config_of(plugins, tiny_folder, data, steps=1), tmp_path / "run", plugins)
    assert "1 of 5 captions exceed the 77 tokens" in caplog.text
