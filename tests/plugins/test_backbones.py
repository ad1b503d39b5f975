"""Backbone `mini`: encoding, embedding, prediction and loading errors."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor

from spf_core.errors import RunError
from spf_core.plugins.discovery import load_plugins
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.noise_processes import DDPMNoise
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_portraits import Mini

GLASSES = Prompt("A portrait of an old man,  with RED hair", "round glasses")
UNET = Path("unet") / "diffusion_pytorch_model.safetensors"
TEXT_ENCODER = Path("text_encoder") / "model.safetensors"


def decoded(backbone: StableDiffusion, text: str, weights_L: Tensor) -> str:
    """The text of the tokens that `weights_L` averages over."""
    ids_L = backbone.tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"]
    chosen = [ids_L[place] for place in weights_L.nonzero().flatten().tolist()]
    return str(backbone.tokenizer.decode(chosen)).strip()


def test_mini_is_registered_and_builds_from_a_path(tiny_folder: Path) -> None:
    config = load_plugins().get("mini", "backbone")
    assert config.model_validate({"path": str(tiny_folder)}).build().image_size == 32


def test_prompts_are_encoded_as_the_pipeline_does(tiny_backbone: StableDiffusion) -> None:
    cond = tiny_backbone.encode_prompts([GLASSES, Prompt("hat")], with_target=True)
    texts = [GLASSES.complete_text, "hat"]
    expected_BLD, _ = tiny_backbone.pipeline().encode_prompt(texts, torch.device("cpu"), 1, False)
    torch.testing.assert_close(cond.embeds_BLD, expected_BLD)


def test_phrase_tokens_decode_back_to_the_phrases(tiny_backbone: StableDiffusion) -> None:
    cond = tiny_backbone.encode_prompts([GLASSES, Prompt("unheard-of zebra")], with_target=True)
    for place, phrase in enumerate(GLASSES.phrases):
        assert decoded(tiny_backbone, GLASSES.complete_text, cond.phrase_BPL[0, place]) == phrase.lower()
    assert decoded(tiny_backbone, GLASSES.complete_text, cond.target_BL[0]) == "round glasses"
    assert decoded(tiny_backbone, "unheard-of zebra", cond.phrase_BPL[1, 0]) == "unheard - of zebra"


def test_base_phrases_keep_their_tokens_when_the_target_is_appended(tiny_backbone: StableDiffusion) -> None:
    base = tiny_backbone.encode_prompts([GLASSES], with_target=False)
    complete = tiny_backbone.encode_prompts([GLASSES], with_target=True)
    assert torch.equal(base.phrase_BPL, complete.phrase_BPL)
    assert torch.equal(base.phrase_embeds_BPD, complete.phrase_embeds_BPD)
    assert base.target_BL.abs().sum() == base.target_embed_BD.abs().sum() == 0


def test_weights_average_and_padding_rows_are_zero(tiny_backbone: StableDiffusion) -> None:
    cond = tiny_backbone.encode_prompts([GLASSES, Prompt("hat")], with_target=True)
    assert len(GLASSES.phrases) == 2
    torch.testing.assert_close(cond.phrase_BPL.sum(dim=-1), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    torch.testing.assert_close(cond.pad_BL.sum(dim=-1), torch.ones(2))
    assert cond.target_BL.sum(dim=-1).tolist() == pytest.approx([1, 0])
    assert cond.phrase_embeds_BPD.norm(dim=-1)[1].tolist() == pytest.approx([1, 0])


def test_padding_starts_where_the_text_ends(tiny_backbone: StableDiffusion) -> None:
    pad_BL = tiny_backbone.encode_prompts([Prompt("old red")], with_target=False).pad_BL
    ended = [0.0, 0.0, 0.0] + [1 / 74] * 74  # begin mark, two words, then end mark and padding
    assert pad_BL[0].tolist() == pytest.approx(ended)


def test_truncated_tokens_are_dropped(tiny_backbone: StableDiffusion) -> None:
    long = Prompt("hat " * 74 + "old red", "glasses", ("hat", "old red"))
    cond = tiny_backbone.encode_prompts([long], with_target=True)
    assert decoded(tiny_backbone, long.complete_text, cond.phrase_BPL[0, 1]) == "old"
    assert cond.target_BL.sum() == 0
    assert tiny_backbone.token_count(long.complete_text) == 80 > tiny_backbone.max_tokens


def test_text_embeddings_are_unit_and_independent_of_the_batch(tiny_backbone: StableDiffusion) -> None:
    both_ND = tiny_backbone.embed_texts(["round glasses", "a long portrait of an old man with red hair"])
    torch.testing.assert_close(both_ND.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(both_ND[:1], tiny_backbone.embed_texts(["round glasses"]))


def test_image_embeddings_are_unit_and_differentiable(tiny_backbone: StableDiffusion) -> None:
    pixels_B3HW = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    embeds_BD = tiny_backbone.embed_images(pixels_B3HW)
    torch.testing.assert_close(embeds_BD.norm(dim=-1), torch.ones(2))
    embeds_BD[:, 0].sum().backward()
    assert pixels_B3HW.grad is not None
    assert pixels_B3HW.grad.abs().sum() > 0


def test_decoding_is_differentiable_and_inverts_the_latent_scale(tiny_backbone: StableDiffusion) -> None:
    latents_BCHW = torch.randn(1, 4, 8, 8).requires_grad_()
    pixels_B3HW = tiny_backbone.decode(latents_BCHW)
    pixels_B3HW.sum().backward()
    assert pixels_B3HW.shape == (1, 3, 32, 32)
    assert latents_BCHW.grad is not None
    moments = tiny_backbone.vae.encode(pixels_B3HW).latent_dist.mean
    torch.testing.assert_close(tiny_backbone.encode_images(pixels_B3HW), moments * 0.5)


def test_every_network_is_frozen_float32(tiny_backbone: StableDiffusion) -> None:
    backbone = tiny_backbone
    for network in (backbone.denoiser, backbone.vae, backbone.text_encoder, backbone.clip):
        assert not network.training
        assert {(p.dtype, p.requires_grad) for p in network.parameters()} == {(torch.float32, False)}


def test_velocity_predictions_are_turned_into_noise() -> None:
    clean, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    abar_B = torch.tensor([0.9, 0.2])
    config = SimpleNamespace(prediction_type="v_prediction")
    process = DDPMNoise(SimpleNamespace(alphas_cumprod=abar_B, config=config))
    a, s = (root.view(2, 1, 1, 1) for root in (abar_B.sqrt(), (1 - abar_B).sqrt()))
    v, z_t, t = a * noise - s * clean, a * clean + s * noise, torch.tensor([0, 1])
    recovered = process.eps_from_v(v, z_t, t)
    torch.testing.assert_close(recovered, noise)
    torch.testing.assert_close(process.velocity_of(z_t, noise, t), v)


@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_the_sampler_takes_noise_also_of_models_trained_on_velocity(predicted: str) -> None:
    process = DDPMNoise(DDIMScheduler(prediction_type=predicted, clip_sample=False, set_alpha_to_one=False))
    sampler = process.sampler(4)
    clean, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    t, after = sampler.timesteps_S[1].expand(2), sampler.timesteps_S[2].expand(2)
    reached = sampler.step(noise, 1, process.noised(clean, noise, t))
    torch.testing.assert_close(reached, process.noised(clean, noise, after), atol=1e-5, rtol=1e-5)


def test_pipeline_shares_the_modules_and_is_made_once(tiny_backbone: StableDiffusion) -> None:
    pipeline = tiny_backbone.pipeline()
    assert pipeline.unet is tiny_backbone.denoiser
    assert pipeline is tiny_backbone.pipeline()


@pytest.fixture
def copied_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def test_fingerprint_follows_the_weights(tiny_folder: Path, copied_folder: Path) -> None:
    original = StableDiffusion(tiny_folder).fingerprint()
    assert StableDiffusion(copied_folder).fingerprint() == original
    tensors = load_file(copied_folder / UNET)
    tensors["conv_in.bias"] += 1
    save_file(tensors, copied_folder / UNET, {"format": "pt"})
    assert StableDiffusion(copied_folder).fingerprint() != original


def error_of(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        Mini(path=str(folder)).build()
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_absent_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    message = error_of(tmp_path / "nowhere")
    assert "does not exist" in message
    assert "backbone.path" in message


def test_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    assert "has no model_index.json" in error_of(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler", "clip"])
def test_missing_component_is_named(copied_folder: Path, part: str) -> None:
    shutil.rmtree(copied_folder / part)
    assert f"{part}' is missing" in error_of(copied_folder)


@pytest.mark.parametrize("file", [UNET, TEXT_ENCODER, Path("clip") / "config.json"])
def test_damaged_file_is_named(copied_folder: Path, file: Path) -> None:
    content = (copied_folder / file).read_bytes()
    (copied_folder / file).write_bytes(content[: len(content) // 2])
    assert f"{file.parent}' cannot be loaded" in error_of(copied_folder)


@pytest.mark.parametrize("file", [UNET, Path("clip") / "model.safetensors"])
def test_missing_tensor_is_named(copied_folder: Path, file: Path) -> None:
    tensors = load_file(copied_folder / file)
    name = min(tensors)
    del tensors[name]
    save_file(tensors, copied_folder / file, {"format": "pt"})
    assert f"lack the tensor '{name}'" in error_of(copied_folder)


def test_unsupported_prediction_type_is_refused(copied_folder: Path) -> None:
    file = copied_folder / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("epsilon", "sample"))
    assert "prediction_type is epsilon or v_prediction" in error_of(copied_folder)


def test_missing_image_statistics_are_named(copied_folder: Path) -> None:
    (copied_folder / "clip" / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json' cannot be loaded" in error_of(copied_folder)


def test_pixels_are_normalised_with_the_folders_statistics(tiny_backbone: StableDiffusion) -> None:
    pixels_B3HW = torch.rand(1, 3, 24, 24) * 2 - 1  # mean 0.5 and deviation 0.5 leave [-1, 1] as it is
    features = tiny_backbone.clip.get_image_features(pixel_values=pixels_B3HW)
    features_D = getattr(features, "pooler_output", features)[0].detach().numpy()
    expected = features_D / np.linalg.norm(features_D)
    assert tiny_backbone.embed_images(pixels_B3HW)[0].detach().numpy() == pytest.approx(expected, abs=1e-5)
