"""The embedded base model is a plain diffusers pipeline."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel

from spf_portraits.pretrain.recipe import WEIGHTS

MINI = WEIGHTS / "mini"
PROMPT = "a half-length portrait of a smiling person with pale skin, long wavy red hair, on a teal background"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(MINI)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: StableDiffusionPipeline, prompt: str, seed: int, steps: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    images: torch.Tensor = pipeline(
        prompt, num_inference_steps=steps, guidance_scale=3.0, generator=generator, output_type="pt"
    ).images
    return images


def test_the_folder_loads_as_a_full_precision_pipeline(pipeline: StableDiffusionPipeline) -> None:
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}


def test_one_seed_gives_one_picture_at_the_native_size(pipeline: StableDiffusionPipeline) -> None:
    first, again, other = (draw(pipeline, PROMPT, seed) for seed in (0, 0, 1))
    assert first.shape == (1, 3, 64, 64)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_prompt_decides_the_background(pipeline: StableDiffusionPipeline) -> None:
    teal = draw(pipeline, PROMPT, 0, steps=8)[0, :, :6, :6].mean(dim=(1, 2))
    orange = draw(pipeline, PROMPT.replace("a teal", "an orange"), 0, steps=8)[0, :, :6, :6].mean(dim=(1, 2))
    assert teal[2] > teal[0] + 0.2
    assert orange[0] > orange[2] + 0.2


@pytest.mark.parametrize("text", ["Zwölf Boxkämpfer jagen Viktor", "日本語 😀", "", "x" * 500])
def test_any_text_tokenises(pipeline: StableDiffusionPipeline, text: str) -> None:
    ids = pipeline.tokenizer(text, padding="max_length", truncation=True).input_ids
    assert len(ids) == pipeline.tokenizer.model_max_length == 77
    assert max(ids) < pipeline.text_encoder.config.vocab_size


def test_the_contrastive_model_shares_the_text_tower(pipeline: StableDiffusionPipeline) -> None:
    clip = CLIPModel.from_pretrained(MINI / "clip")
    ids = pipeline.tokenizer([PROMPT], return_tensors="pt").input_ids
    with torch.no_grad():
        shared = clip.text_model(input_ids=ids).last_hidden_state.float()
        own = pipeline.text_encoder(ids).last_hidden_state
    torch.testing.assert_close(shared, own, atol=1e-4, rtol=1e-4)


def test_the_model_card_says_what_was_measured_and_whether_the_bars_are_met() -> None:
    bars = json.loads((MINI / "bars.json").read_text(encoding="utf-8"))
    card = (MINI / "README.md").read_text(encoding="utf-8")
    accuracy = bars["accuracy"]
    assert bars["mean_accuracy"] == pytest.approx(sum(accuracy.values()) / len(accuracy), abs=1e-3)
    assert bars["meets_bars"] == (bars["mean_accuracy"] >= 0.90 and min(accuracy.values()) >= 0.75)
    assert bars["same_seed_max_difference"] == 0
    for name, value in accuracy.items():
        assert any(name in line and f"{value:.1%}" in line for line in card.splitlines()), name


def test_all_weights_together_stay_small() -> None:
    files = [path for path in Path(WEIGHTS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 60 * 2**20
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".pkl", ".ckpt"}]
