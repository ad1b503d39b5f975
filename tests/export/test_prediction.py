"""What exported files say of v-prediction and zero terminal SNR, and who reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import save_file

from spf_core.errors import RunError
from spf_core.export.check import check_file
from spf_core.export.files import run_file
from spf_core.export.prediction import Prediction, check_checkpoint, is_checkpoint
from spf_core.export.run import Request, export
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors

MakeRun = Callable[..., Path]
V_ZERO = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
MARKS = {"v_pred", "ztsnr"}
PIPELINES: dict[str, Any] = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}
both = pytest.mark.parametrize("backbone", ["sd15", "sdxl"])
VFolder = Callable[[str], Path]


@pytest.fixture(scope="session")
def v_folder(tiny_folder: Path, tiny_xl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> VFolder:
    """Bases that predict v on a schedule that ends in pure noise."""
    made: dict[str, Path] = {}

    def make(backbone: str) -> Path:
        if backbone not in made:
            source = tiny_xl_folder if backbone == "sdxl" else tiny_folder
            folder = Path(shutil.copytree(source, tmp_path_factory.mktemp("v") / backbone))
            file = folder / "scheduler" / "scheduler_config.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | V_ZERO))
            made[backbone] = folder
        return made[backbone]

    return make


def schedule_of(plugins: Plugins, backbone: str, file: Path, base: Path, settings: Path) -> dict[str, Any]:
    """The scheduler of a single file as `spf train --backbone` opens it; `settings` of an eps model."""
    clip = file.parent / "clip"
    shutil.copytree(base / "clip", clip, dirs_exist_ok=True)
    shutil.copytree(base / "tokenizer", clip, dirs_exist_ok=True)
    config = plugins.get(backbone, "backbone")(path=str(file), clip=str(clip), settings=str(settings))
    return dict(config.build().scheduler.config)


@both
@pytest.mark.parametrize("kind", ["merged", "full-unet"])
def test_a_checkpoint_of_a_v_model_opens_as_one_again(
    make_run: MakeRun,
    plugins: Plugins,
    v_folder: VFolder,
    tiny_folder: Path,
    tiny_xl_folder: Path,
    tmp_path: Path,
    backbone: str,
    kind: str,
) -> None:
    base, plain = v_folder(backbone), tiny_xl_folder if backbone == "sdxl" else tiny_folder
    merge = kind == "merged"
    adapter = () if merge else ("adapter=full-unet", "optimizer.learning_rate=0.0005")
    run = make_run(backbone, f"backbone.path={base}", *adapter)
    file = tmp_path / "all.safetensors"
    export(run, plugins, Request("checkpoint", file, merge=merge, precision="fp16"))
    tensors, metadata = read_safetensors(file)
    assert {name: tensors[name].numel() for name in MARKS} == dict.fromkeys(MARKS, 0)
    assert metadata["modelspec.prediction_type"] == "v"
    found = schedule_of(plugins, backbone, file, base, settings=plain)
    assert {name: found[name] for name in V_ZERO} == V_ZERO
    assert found["timestep_spacing"] == "trailing"

    options: dict[str, Any] = {"config": str(plain), "local_files_only": True}
    blind = PIPELINES[backbone].from_single_file(str(file), **options)
    assert blind.scheduler.config.prediction_type == "epsilon", "diffusers reads no marks"
    scheduler = DDIMScheduler.from_config(blind.scheduler.config, **V_ZERO, timestep_spacing="trailing")
    told = PIPELINES[backbone].from_single_file(str(file), scheduler=scheduler, **options)
    based = PIPELINES[backbone].from_single_file(str(file), config=str(base), local_files_only=True)
    for pipeline in (told, based):
        assert {name: pipeline.scheduler.config[name] for name in V_ZERO} == V_ZERO
        names = {name for name in tensors if name.startswith("model.diffusion_model.")}
        assert len(pipeline.unet.state_dict()) == len(names)
        assert all(torch.isfinite(each).all() for each in pipeline.unet.state_dict().values())


def test_a_checkpoint_of_an_eps_model_has_no_marks(
    make_run: MakeRun, plugins: Plugins, tmp_path: Path
) -> None:
    file = tmp_path / "all.safetensors"
    export(make_run("sd15"), plugins, Request("checkpoint", file, merge=True))
    tensors, metadata = read_safetensors(file)
    assert not MARKS & tensors.keys()
    assert metadata["modelspec.prediction_type"] == "epsilon"


@both
def test_a_lora_tells_it_in_its_metadata_alone(make_run: MakeRun, v_folder: VFolder, backbone: str) -> None:
    """A client takes the prediction from its base model, and a key that is no layer for a loss."""
    tensors, metadata = read_safetensors(run_file(make_run(backbone, f"backbone.path={v_folder(backbone)}")))
    expected = {
        "modelspec.prediction_type": "v",
        "ss_zero_terminal_snr": "True",
        "ss_base_model_version": {"sd15": "sd_v1_v", "sdxl": "sdxl_base_v1-0"}[backbone],
    }
    assert expected.items() <= metadata.items()
    assert not MARKS & tensors.keys()


def test_kohyas_name_of_a_v_base_is_understood(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {"lora_down.weight": torch.zeros(2, 768), "lora_up.weight": torch.zeros(1280, 2)}
    tensors = {f"{name}.{end}": each for end, each in (tensors | {"alpha": torch.tensor(2.0)}).items()}
    save_file(tensors, tmp_path / "lora.safetensors", {"ss_base_model_version": "sd_v1_v"})
    assert [each.matched for each in check_file(tmp_path / "lora.safetensors")] == [1] * 6


def checkpoint(file: Path, width: int, *marks: str, **metadata: str) -> Path:
    name = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    tensors = {name: torch.zeros(1, width)} | {mark: torch.zeros(0) for mark in marks}
    save_file(tensors, file, {"format": "pt", **metadata})
    return file


@pytest.mark.parametrize(
    ("width", "marks", "wrong"),
    [
        (2048, (), set()),
        (2048, ("v_pred",), {"diffusers", "InvokeAI"}),
        (2048, ("v_pred", "ztsnr"), {"diffusers", "InvokeAI"}),
        (768, (), set()),
        (768, ("v_pred",), {"diffusers", "ComfyUI", "Forge", "A1111", "InvokeAI"}),
    ],
)
def test_clients_take_a_checkpoint_for_what_their_rules_see(
    tmp_path: Path, width: int, marks: tuple[str, ...], wrong: set[str]
) -> None:
    file = checkpoint(tmp_path / "x.safetensors", width, *marks)
    assert is_checkpoint(file)
    meant, readings = check_checkpoint(file)
    assert meant == Prediction("v_pred" in marks, "ztsnr" in marks)
    assert {each.client for each in readings if each.way_out} == wrong
    assert all((each.found == meant) == (each.client not in wrong) for each in readings)


def test_a_v_model_without_marks_is_taken_for_eps_everywhere(tmp_path: Path) -> None:
    told = {"modelspec.prediction_type": "v"}
    meant, readings = check_checkpoint(checkpoint(tmp_path / "x.safetensors", 2048, **told))
    assert meant == Prediction(v=True)
    assert all(each.found == Prediction() and each.way_out for each in readings)


def test_comfyui_reads_the_zero_beside_v_alone(tmp_path: Path) -> None:
    _, readings = check_checkpoint(checkpoint(tmp_path / "x.safetensors", 2048, "ztsnr"))
    found = {each.client: each.found.zero_snr for each in readings}
    assert found == {"diffusers": False, "ComfyUI": False, "Forge": True, "A1111": True, "InvokeAI": False}


def test_of_an_unknown_base_diffusers_alone_is_asked(tmp_path: Path) -> None:
    _, (first, *others) = check_checkpoint(checkpoint(tmp_path / "x.safetensors", 80, "v_pred"))
    assert first.way_out.startswith("give from_single_file config=FOLDER")
    assert all(each.absent and not each.way_out for each in others)


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        is_checkpoint(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"pickle")
    with pytest.raises(RunError, match="is no safetensors file"):
        is_checkpoint(tmp_path / "x.safetensors")
