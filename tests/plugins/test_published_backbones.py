"""Backbones `sd15` and `sdxl`: from a folder or the hub's cache, through training and sampling."""

import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL.Image import Image
from test_trainer import FAST, noise_folder, same, train_whole_and_killed, weights

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.config.sections import SampleSection
from spf_core.errors import RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import read_safetensors
from spf_core.runs.run import open_run
from spf_core.sampling.sampler import BeforeHandover, initial_noise, sample_images
from spf_core.training.loop import train
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones import Sd15, Sdxl
from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

GLASSES = Prompt("a portrait of an old man, red hair", "round glasses")
TEXTS = [GLASSES.complete_text, "red hair"]
OPTIONS = SampleSection(steps=4, batch_size=2)


@pytest.fixture
def xl(tiny_xl_folder: Path) -> StableDiffusionXL:
    return StableDiffusionXL(tiny_xl_folder)


def pixels(images: list[Image]) -> np.ndarray:
    return np.stack([np.asarray(image, int) for image in images])


def test_texts_are_encoded_as_the_pipeline_does(xl: StableDiffusionXL) -> None:
    cond = xl.encode_prompts([GLASSES, Prompt("red hair")], with_target=True)
    expected = xl.pipeline().encode_prompt(TEXTS, device=torch.device("cpu"), num_images_per_prompt=1)
    torch.testing.assert_close(cond.embeds_BLD, expected[0])
    torch.testing.assert_close(cond.pooled_BD, expected[2])
    empty = xl.encode_prompts([Prompt("")], with_target=False)
    torch.testing.assert_close(empty.embeds_BLD.expand(2, -1, -1), expected[1])
    torch.testing.assert_close(empty.pooled_BD.expand(2, -1), expected[3])
    assert cond.sizes_B6.tolist() == [[32, 32, 0, 0, 32, 32]] * 2


def test_both_tokenizers_cut_at_the_same_places(xl: StableDiffusionXL) -> None:
    pipeline = xl.pipeline()
    first, second = (
        each(GLASSES.complete_text, return_offsets_mapping=True)
        for each in (pipeline.tokenizer, pipeline.tokenizer_2)
    )
    assert first["offset_mapping"] == second["offset_mapping"]
    assert pipeline.tokenizer.pad_token != pipeline.tokenizer_2.pad_token


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_images_are_those_of_the_diffusers_pipeline(xl: StableDiffusionXL, guidance: float) -> None:
    options = OPTIONS.model_copy(update={"guidance": guidance})
    ours = sample_images(xl, TEXTS, [5, 6], options)
    theirs = xl.pipeline()(
        TEXTS,
        latents=initial_noise([5, 6], (4, 8, 8)),
        num_inference_steps=options.steps,
        guidance_scale=guidance,
    ).images
    assert np.abs(pixels(ours) - pixels(theirs)).max() <= 1


def test_the_handover_exchanges_both_embeddings(xl: StableDiffusionXL) -> None:
    """Without anything trained: the base text above t = 500, the complete text below, step by step."""
    from spf_plugins.adapters import LoraAdapter

    lora = LoraAdapter().build()
    lora.attach(xl)
    options = OPTIONS.model_copy(update={"handover": 0.5})
    drawn = sample_images(
        xl, [TEXTS[0]], [5], options, before_handover=BeforeHandover([GLASSES.base_text], lora)
    )
    base, complete, empty = (
        xl.encode_prompts([prompt], with_target=target)
        for prompt, target in ((GLASSES, False), (GLASSES, True), (Prompt(""), False))
    )
    scheduler = xl.pipeline().scheduler
    scheduler.set_timesteps(options.steps)
    z_t = initial_noise([5], (4, 8, 8))
    with torch.no_grad():
        for t in scheduler.timesteps:
            texts = base if t >= 500 else complete
            free = xl.predict(z_t, t[None], empty).pred_BCHW
            pred = free + options.guidance * (xl.predict(z_t, t[None], texts).pred_BCHW - free)
            z_t = scheduler.step(pred, t, z_t).prev_sample
        by_hand = ((xl.decode(z_t) / 2 + 0.5).clamp(0, 1) * 255).round()[0].permute(1, 2, 0)
    assert np.abs(pixels(drawn)[0] - by_hand.numpy()).max() <= 1


def config_of(plugins: Plugins, backbone: str, path: Path, data: Path, *assignments: str) -> RunConfig:
    return load_run_config(
        plugins,
        preset="spf",
        backbone=backbone,
        overrides={"data": str(data), "train": {"steps": 6}},
        assignments=[f"backbone.path={path}", *FAST, "sample.steps=3", *assignments],
    )


@pytest.mark.parametrize(
    "more", [(), ("control_map=sfcm-v2", "counterfactuals.enabled=false", "train.noise_share=0.3")]
)
def test_sdxl_trains_resumes_and_samples(
    plugins: Plugins, tiny_xl_folder: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    (tmp_path / "data").mkdir()
    config = config_of(plugins, "sdxl", tiny_xl_folder, noise_folder(tmp_path / "data"), *more)
    train_whole_and_killed(config, tmp_path, plugins)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    opened = open_run(tmp_path / "whole", plugins)
    base, seeds = [GLASSES.base_text] * 2, [1, 2]
    whole = OPTIONS.model_copy(update={"handover": 1.0})
    tuned = sample_images(opened.backbone, base, seeds, whole)
    with opened.adapter.disabled():
        original = sample_images(opened.backbone, base, seeds, whole)
    assert np.abs(pixels(tuned) - pixels(original)).max() > 0
    opened.adapter.scale(0.0)
    assert (pixels(sample_images(opened.backbone, base, seeds, whole)) == pixels(original)).all()


def test_a_folder_of_another_architecture_is_refused(tiny_folder: Path, tiny_xl_folder: Path) -> None:
    for config, wrong, held in (
        (Sdxl(path=str(tiny_folder)), tiny_folder, "StableDiffusionPipeline"),
        (Sd15(path=str(tiny_xl_folder)), tiny_xl_folder, "StableDiffusionXLPipeline"),
    ):
        with pytest.raises(RunError, match=f"'{wrong}' holds a {held}; set backbone.path") as caught:
            config.build()
        assert "\n" not in str(caught.value)


def cached_on_disk(cache: Path, repository: str, folder: Path) -> None:
    """What the hub's client leaves in its cache when it has downloaded the repository."""
    commit = "0" * 40
    place = cache / f"models--{repository.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


def test_a_hub_id_is_read_from_the_cache(
    tiny_xl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_xl_folder, tmp_path / "model"))
    shutil.move(folder / "clip", tmp_path / "clip")
    cached_on_disk(tmp_path / "cache", "someone/tiny-xl", folder)
    cached_on_disk(tmp_path / "cache", "someone/tiny-clip", tmp_path / "clip")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    built = Sdxl(path="someone/tiny-xl", clip="someone/tiny-clip").build()
    assert built.fingerprint() == StableDiffusionXL(tiny_xl_folder).fingerprint()
    for absent, fault in {
        "someone/else": "is no folder here",
        "no such folder": "is no folder here",
        "a/b/c": "does not exist",
        "./model": "does not exist",
    }.items():
        with pytest.raises(RunError, match=f"backbone.path: '{absent}' {fault}") as caught:
            Sdxl(path=absent).build()
        assert "\n" not in str(caught.value)


def test_a_variant_of_the_weights_is_read(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    for part in ("unet", "vae", "text_encoder"):
        for file in (folder / part).glob("*.safetensors"):
            file.rename(file.with_suffix(".fp16.safetensors"))
    built = Sd15(path=str(folder), variant="fp16").build()
    file = next((folder / "unet").glob("*.fp16.safetensors"))
    expected = read_safetensors(file)[0]
    assert torch.equal(built.denoiser.state_dict()["conv_in.weight"], expected["conv_in.weight"])
    with pytest.raises(RunError, match="cannot be loaded"):
        Sd15(path=str(folder)).build()


def test_a_refused_model_leaves_no_run_behind(plugins: Plugins, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    config = config_of(plugins, "sdxl", tiny_folder, noise_folder(tmp_path / "data"))
    with pytest.raises(RunError, match="holds a StableDiffusionPipeline"):
        train(config, tmp_path / "run", plugins)
    assert not (tmp_path / "run").exists()
