"""Backbones from one .safetensors file in the original layout; schedules that end in pure noise."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from spf_core.errors import RunError
from spf_core.export.checkpoint import checkpoint_tensors
from spf_core.interfaces.types import Conditioning
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones import Published, Sd15, Sdxl
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

KINDS = {"sd15": (StableDiffusion, Sd15), "sdxl": (StableDiffusionXL, Sdxl)}
PROMPTS = [Prompt("a portrait of an old man, red hair", "round glasses"), Prompt("")]


@pytest.fixture(params=["sd15", "sdxl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, tiny_folder: Path, tiny_xl_folder: Path) -> Path:
    return {"sd15": tiny_folder, "sdxl": tiny_xl_folder}[kind]


def write(backbone: StableDiffusion, file: Path, extra: tuple[str, ...] = (), **metadata: str) -> Path:
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint_tensors(backbone.pipeline()).items()}
    save_file(tensors | {name: torch.zeros(0) for name in extra}, file, {"format": "pt", **metadata})
    return file


def config_of(kind: str, folder: Path, file: Path, tmp_path: Path, **options: Any) -> Published:
    """As users have it: the file, and CLIP's folder with its tokenizer."""
    clip = tmp_path / "clip"
    if not clip.is_dir():
        shutil.copytree(folder / "clip", clip)
        for each in (folder / "tokenizer").iterdir():
            shutil.copy(each, clip)
    return KINDS[kind][1](path=str(file), clip=str(clip), settings=str(folder), **options)


def outputs(backbone: StableDiffusion) -> tuple[Conditioning, torch.Tensor, torch.Tensor]:
    cond = backbone.encode_prompts(PROMPTS, with_target=True)
    z_t = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return cond, backbone.predict(z_t, torch.tensor([700, 30]), cond).pred_BCHW, backbone.decode(z_t)


def test_a_single_file_is_the_folder_it_was_written_from(kind: str, folder: Path, tmp_path: Path) -> None:
    whole = KINDS[kind][0](folder)
    file = write(whole, tmp_path / "model.safetensors")
    built = config_of(kind, folder, file, tmp_path).build()
    (cond, pred, pixels), (cond_2, pred_2, pixels_2) = outputs(whole), outputs(built)
    torch.testing.assert_close(cond_2.embeds_BLD, cond.embeds_BLD)
    torch.testing.assert_close(cond_2.pooled_BD, cond.pooled_BD)
    torch.testing.assert_close(pred_2, pred)
    torch.testing.assert_close(pixels_2, pixels)
    assert built.fingerprint() != whole.fingerprint()
    assert built.fingerprint() == config_of(kind, folder, file, tmp_path).build().fingerprint()


@pytest.mark.parametrize("wrong", ["other", "part", "damaged", "pickle"])
def test_what_is_no_checkpoint_is_refused(kind: str, folder: Path, tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "model.safetensors"
    tensors = {k: v.contiguous() for k, v in checkpoint_tensors(KINDS[kind][0](folder).pipeline()).items()}
    if wrong == "other":
        save_file({"lora_unet_conv_in.alpha": torch.ones(1)}, file)
    elif wrong == "part":
        gone = "model.diffusion_model.output_blocks.0.0.in_layers.2.weight"
        assert tensors.pop(gone) is not None
        save_file(tensors, file)
    elif wrong == "damaged":
        file.write_bytes(b"no safetensors")
    else:
        file = file.with_suffix(".ckpt")
        file.write_bytes(b"pickle")
    with pytest.raises(RunError, match=str(file)) as caught:
        config_of(kind, folder, file, tmp_path).build()
    assert "\n" not in str(caught.value)


def test_marks_in_the_file_say_what_it_predicts(tiny_folder: Path, tmp_path: Path) -> None:
    whole = StableDiffusion(tiny_folder)
    marked = write(whole, tmp_path / "marked.safetensors", ("v_pred", "ztsnr"))
    told = write(whole, tmp_path / "told.safetensors", **{"modelspec.prediction_type": "v"})
    plain = write(whole, tmp_path / "plain.safetensors")
    edm = write(whole, tmp_path / "edm.safetensors", ("edm_vpred.sigma_max", "v_pred"))
    with pytest.raises(RunError, match=r"EDM schedule \('edm_vpred.sigma_max'\)"):
        config_of("sd15", tiny_folder, edm, tmp_path).build()
    found = {file: config_of("sd15", tiny_folder, file, tmp_path).build() for file in (marked, told, plain)}
    assert [each.noise.trained_on_v for each in found.values()] == [True, True, False]
    assert found[marked].scheduler.config.rescale_betas_zero_snr
    assert found[marked].scheduler.config.timestep_spacing == "trailing"


def test_a_schedule_that_ends_in_pure_noise_divides_by_no_zero(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    file = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(file.read_text())
    file.write_text(
        json.dumps(settings | {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"})
    )
    backbone = StableDiffusion(folder)
    assert backbone.scheduler.alphas_cumprod[-1] == 0
    z_t, last = torch.randn(1, 4, 8, 8), torch.tensor([backbone.noise.steps - 1])
    with torch.no_grad():
        pred = backbone.predict(z_t, last, backbone.encode_prompts(PROMPTS[:1], with_target=True)).pred_BCHW
    torch.testing.assert_close(pred, z_t, rtol=0, atol=2e-2)  # nothing but noise is there
    assert torch.isfinite(backbone.noise.clean(z_t, pred, last)).all()


def test_the_vae_never_computes_in_float16(tiny_folder: Path) -> None:
    """SDXL's overflows there: a layer that scales its input beyond 65504 stands in for it."""
    backbone = StableDiffusion(tiny_folder)
    backbone.vae.post_quant_conv.weight.mul_(1e6)
    latents = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        expected = backbone.decode(latents)
        with torch.autocast("cpu", dtype=torch.float16):
            assert not torch.isfinite(backbone.vae.decode(latents).sample).all()
            torch.testing.assert_close(backbone.decode(latents), expected)
            assert backbone.encode_images(expected.clamp(-1, 1)).dtype == torch.float32
