"""Weights that hold NaN or infinity are refused wherever they are read, with the file and the tensor."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from spf_core.config.loading import load_run_config
from spf_core.errors import RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import checkpoints, read_safetensors, refuse_non_numbers
from spf_core.runs.run import open_run
from spf_core.training.loop import train

Spoilt = Callable[[Path], str]


@pytest.fixture
def spoilt() -> Spoilt:
    """Puts a NaN into the last floating tensor of a file, and says its name."""

    def spoil(file: Path) -> str:
        with safe_open(file, "pt") as opened:
            metadata = opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        name = max(name for name, tensor in tensors.items() if tensor.is_floating_point())
        tensors[name].view(-1)[-1] = float("nan")
        save_file(tensors, file, metadata)
        return name

    return spoil


@pytest.fixture(scope="module")
def finished(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(settings(plugins, tiny_folder, data), out, plugins)
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def settings(plugins: Plugins, tiny: Path, data: Path, *assignments: str):
    fast = ("train.batch_size=2", "train.steps=2", "checkpoint.every=1", "sample.every=0", "train.device=cpu")
    given = [f"backbone.path={tiny}", *fast, *assignments]
    return load_run_config(plugins, preset="lora", overrides={"data": str(data)}, assignments=given)


def test_of_a_run(run: Path, plugins: Plugins, spoilt: Spoilt) -> None:
    name = spoilt(run / "adapter.safetensors")
    with pytest.raises(RunError, match=r"adapter\.safetensors': the tensor '" + name):
        open_run(run, plugins, device="cpu")


def test_that_training_begins_with(
    run: Path, plugins: Plugins, spoilt: Spoilt, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    spoilt(run / "adapter.safetensors")
    with pytest.raises(RunError, match=r"adapter\.safetensors': the tensor"):
        train(settings(plugins, tiny_folder, data, f"train.start_from={run}"), tmp_path / "next", plugins)
    assert not (tmp_path / "next" / "config.yaml").exists()


def test_of_a_file_for_other_programs(run: Path, spoilt: Spoilt) -> None:
    from spf_core.export.check import check_file

    (exported,) = set(run.glob("*.safetensors")) - {run / "adapter.safetensors"}
    spoilt(exported)
    with pytest.raises(RunError, match="holds NaN or infinity"):
        check_file(exported, None)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "clip"])
def test_of_a_base_model(
    part: str, tiny_folder: Path, plugins: Plugins, spoilt: Spoilt, data: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    (file,) = (folder / part).glob("*.safetensors")
    name = spoilt(file)
    with pytest.raises(RunError, match=f"/{part}': the tensor '{name}' holds NaN or infinity"):
        settings(plugins, folder, data).backbone.build()


def test_of_a_base_model_in_one_file(tiny_folder: Path, spoilt: Spoilt, tmp_path: Path) -> None:
    from spf_core.export.checkpoint import checkpoint_tensors
    from spf_plugins.backbones import Sd15
    from spf_plugins.backbones.stable_diffusion import StableDiffusion

    file, clip = tmp_path / "model.safetensors", tmp_path / "clip"
    tensors = checkpoint_tensors(StableDiffusion(tiny_folder).pipeline())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"})
    shutil.copytree(tiny_folder / "clip", clip)
    shutil.copytree(tiny_folder / "tokenizer", clip, dirs_exist_ok=True)
    spoilt(file)
    with pytest.raises(RunError, match=r"model\.safetensors': the tensor '.*' holds NaN or infinity"):
        Sd15(path=str(file), clip=str(clip), settings=str(tiny_folder)).build()


def test_of_judges(spoilt: Spoilt, tmp_path: Path) -> None:
    from spf_portraits.judges.load import DEFAULT_FOLDER, load_judges

    folder = Path(shutil.copytree(DEFAULT_FOLDER, tmp_path / "judges"))
    spoilt(folder / "identity.safetensors")
    with pytest.raises(RunError, match=r"identity\.safetensors': the tensor"):
        load_judges(folder)


def test_of_a_score(spoilt: Spoilt, tmp_path: Path) -> None:
    from spf_lab.metrics.networks.files import read_weights

    save_file({"a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "lpips.safetensors")
    assert spoilt(tmp_path / "lpips.safetensors") == "b"
    with pytest.raises(RunError, match=r"lpips\.safetensors': the tensor 'b'"):
        read_weights(tmp_path / "lpips.safetensors")


def test_of_upstreams_file(tmp_path: Path) -> None:
    from spf_lab.metrics.convert.files import read_upstream

    torch.save({"state_dict": {"a": torch.tensor([1.0, float("nan")])}}, tmp_path / "upstream.pth")
    with pytest.raises(RunError, match=r"upstream\.pth': the tensor 'a'"):
        read_upstream(tmp_path / "upstream.pth")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_of_any_precision(dtype: torch.dtype) -> None:
    largest = torch.full((3,), torch.finfo(dtype).max, dtype=dtype)
    refuse_non_numbers(
        [("largest", largest), ("none", largest[:0]), ("whole", torch.ones(2).int())], Path("f")
    )
    with pytest.raises(RunError, match="'f': the tensor 'x'"):
        refuse_non_numbers([("x", torch.tensor([0, float("nan"), 1], dtype=dtype))], Path("f"))
    with pytest.raises(RunError):
        refuse_non_numbers([("x", torch.tensor([0, float("inf"), 1], dtype=dtype))], Path("f"))


def test_of_a_checkpoint(run: Path, spoilt: Spoilt) -> None:
    for name in ("adapter.safetensors", "optimizer.safetensors"):
        file = checkpoints(run)[-1] / name
        spoilt(file)
        with pytest.raises(RunError, match="holds NaN or infinity"):
            read_safetensors(file)
