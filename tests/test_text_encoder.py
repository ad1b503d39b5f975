"""Tuned text encoders in training and sampling: who reads what, what is kept, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from steps import batch_of, config_of, parts_of, run
from test_trainer import config_of as run_config
from test_trainer import same, train_whole_and_killed, weights

from spf_core.config.run_config import RunConfig
from spf_core.data import read_folder
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.interfaces.types import Conditioning
from spf_core.plugins.discovery import Plugins
from spf_core.runs.run import OpenRun, open_run
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.training.trainer import train
from spf_core.utils.prompts import Prompt
from spf_lab.attention.maps import attention_maps
from spf_lab.evaluation.maps import map_quality
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.reference import AdapterOff
from spf_plugins.sfcm import Uniform

TUNED = "adapter.text_encoder=true"
STRONG = ("optimizer.learning_rate=0.05", "optimizer.clip_norm=100")
TEXTS = ["an old man in the park, wearing a hat", ""]


@pytest.fixture(params=["sd15", "sdxl"])
def model(request: pytest.FixtureRequest, tiny_folder: Path, tiny_xl_folder: Path) -> tuple[str, Path]:
    return request.param, tiny_xl_folder if request.param == "sdxl" else tiny_folder


def of(model: tuple[str, Path], *settings: str, preset: str = "spf-paper") -> RunConfig:
    name, folder = model
    return config_of(folder, f"backbone={name}", f"backbone.path={folder}", *settings, preset=preset)


@pytest.fixture
def parts(model: tuple[str, Path]) -> Parts:
    return parts_of(of(model, TUNED))


def text_gradients(parts: Parts) -> dict[str, torch.Tensor]:
    named = parts.adapter._parameters  # type: ignore[attr-defined]
    return {
        name: parameter.grad
        for name, parameter in named.items()
        if name.startswith("text_encoder") and parameter.grad is not None
    }


def encode(backbone: Any, texts: list[str]) -> Conditioning:
    found: Conditioning = backbone.encode_prompts([Prompt(text) for text in texts], with_target=False)
    return found


def equal(one: Conditioning, other: Conditioning) -> bool:
    return torch.equal(one.embeds_BLD, other.embeds_BLD) and torch.equal(one.pooled_BD, other.pooled_BD)


def test_the_response_reads_with_gradient_and_the_reference_reads_what_was_cached(parts: Parts) -> None:
    with parts.adapter.disabled():
        batch = batch_of(parts)
    state, report = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(0))
    assert state.response_text.embeds_BLD.requires_grad
    assert (state.response_text.embeds_BLD - batch.complete.embeds_BLD).abs().max() > 1e-3
    assert equal(state.reference_text, batch.base)
    report.total.backward()
    encoders = {name.split(".")[0] for name in text_gradients(parts)}
    two = batch.base.pooled_BD.shape[1] > 0
    assert encoders == {"text_encoder", *(["text_encoder_2"] if two else [])}
    assert all(gradient.abs().max() > 0 for gradient in text_gradients(parts).values())


def test_every_row_reads_its_own_text(model: tuple[str, Path]) -> None:
    """Rows with their target, with the base text, with no text, and with a dropped caption."""
    shares = ("train.base_share=0.4", "train.empty_share=0.3", "train.caption_dropout=0.3")
    parts = parts_of(of(model, TUNED, *shares))
    batch, seen = batch_of(parts), set()
    for seed in range(6):
        state, _ = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(seed))
        for row, prompt in enumerate(batch.prompts):
            base = torch.equal(state.reference_text.phrase_BPL[row], batch.base.phrase_BPL[row])
            kind = "complete" if state.has_target_B[row] else "base" if base else "empty"
            text = {"complete": prompt.complete_text, "base": prompt.base_text, "empty": ""}[kind]
            alone = encode(parts.backbone, [text])
            torch.testing.assert_close(
                state.response_text.embeds_BLD[row].detach(), alone.embeds_BLD[0], rtol=0, atol=1e-5
            )
            torch.testing.assert_close(
                state.response_text.pooled_BD[row].detach(), alone.pooled_BD[0], rtol=0, atol=1e-5
            )
            seen.add(kind)
    assert seen == {"complete", "base", "empty"}


@pytest.mark.parametrize("preset", ["dop", "bpp", "masked-prior", "slider", "class-images", "refl"])
def test_terms_of_the_neighbours_reach_the_text_encoder(preset: str, tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, TUNED, "losses.denoising=false", preset=preset))
    run(parts)[1].total.backward()
    assert text_gradients(parts)


def test_disabled_and_at_strength_0_the_texts_are_the_originals(model: tuple[str, Path]) -> None:
    config = of(model, TUNED)
    original = encode(config.backbone.build(), TEXTS)
    parts = parts_of(config)
    tuned = encode(parts.backbone, TEXTS)
    assert not torch.equal(tuned.embeds_BLD[0], original.embeds_BLD[0])
    with parts.adapter.disabled():
        assert equal(encode(parts.backbone, TEXTS), original)
    parts.adapter.scale(0.0)
    assert equal(encode(parts.backbone, TEXTS), original)
    parts.adapter.scale(0.5)
    half = encode(parts.backbone, TEXTS)
    assert (
        0 < (half.embeds_BLD - original.embeds_BLD).norm() < (tuned.embeds_BLD - original.embeds_BLD).norm()
    )
    parts.adapter.scale(1.0)
    assert equal(encode(parts.backbone, TEXTS), tuned)


def test_computing_activations_twice_leaves_the_gradients(model: tuple[str, Path]) -> None:
    found = []
    for twice in (False, True):
        parts = parts_of(of(model, TUNED))
        with parts.adapter.disabled():
            batch = batch_of(parts)
        if twice:
            parts.backbone.checkpoint_gradients()  # type: ignore[attr-defined]
        dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(0))[1].total.backward()
        found.append(text_gradients(parts))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-8)


def test_half_precision_weights_learn_nearly_the_same(tiny_folder: Path) -> None:
    found = []
    for dtype in ("float32", "bfloat16"):
        parts = parts_of(of(("sd15", tiny_folder), f"backbone.dtype={dtype}", TUNED, preset="lora"))
        run(parts)[1].total.backward()
        found.append(torch.cat([gradient.flatten() for gradient in text_gradients(parts).values()]))
    assert found[1].dtype == torch.float32
    assert torch.cosine_similarity(*found, dim=0) > 0.9


@pytest.mark.parametrize(
    ("name", "preset", "more"),
    [
        ("sd15", "spf-paper", ("optimizer.text_encoder_learning_rate=1e-4", "train.ema_decay=0.3")),
        ("sdxl", "lora", ("train.caption_dropout=0.3", "adapter.dora=true")),
    ],
    ids=["sd15 with a rate of its own and an average", "sdxl with dora and dropped captions"],
)
def test_a_run_resumes_bit_identically_and_opens_again(
    name: str,
    preset: str,
    more: tuple[str, ...],
    plugins: Plugins,
    tiny_folder: Path,
    tiny_xl_folder: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    folder = tiny_xl_folder if name == "sdxl" else tiny_folder
    config = run_config(
        plugins, folder, data, f"backbone={name}", f"backbone.path={folder}", TUNED, *more, preset=preset
    )
    train_whole_and_killed(config, tmp_path, plugins)
    found = weights(tmp_path / "whole")
    assert same(found, weights(tmp_path / "killed"))
    layer = "text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight"
    assert found[f"text_encoder.{layer}"].abs().max() > 0
    assert (f"text_encoder_2.{layer}" in found) == (name == "sdxl")
    opened = open_run(tmp_path / "whole", plugins, device="cpu")
    assert same(opened.adapter.state_dict(), found)


def test_the_text_encoder_has_a_step_size_of_its_own(
    plugins: Plugins, tiny_folder: Path, data: Path, tmp_path: Path
) -> None:
    moved = {}
    for name, rate in (("same", ()), ("own", ("optimizer.text_encoder_learning_rate=1e-6",))):
        config = run_config(plugins, tiny_folder, data, TUNED, *rate, preset="lora", steps=2)
        train(config, tmp_path / name, plugins)
        found = weights(tmp_path / name)
        for part, text in (("text", True), ("unet", False)):
            factors = [
                t for key, t in found.items() if key.startswith("text_encoder.") == text and "lora_B" in key
            ]
            moved[name, part] = max(float(factor.abs().max()) for factor in factors)
    assert moved["own", "text"] < 1e-5 < 1e-4 < moved["same", "text"]
    assert moved["own", "unet"] == pytest.approx(moved["same", "unet"], rel=0.2)


@pytest.fixture(scope="module")
def trained(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, plugins: Plugins, data: Path
) -> Path:
    folder = tmp_path_factory.mktemp("run") / "hat"
    settings = (TUNED, *STRONG, "sample.steps=4", "sample.every=3")
    train(run_config(plugins, tiny_folder, data, *settings, steps=3), folder, plugins)
    return folder


@pytest.fixture
def opened(trained: Path, plugins: Plugins) -> OpenRun:
    return open_run(trained, plugins, device="cpu")


@contextmanager
def heard(opened: OpenRun) -> Iterator[list[torch.Tensor]]:
    """The texts that the denoiser reads, call by call."""
    read: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, options: dict[str, Any]) -> None:
        read.append(options["encoder_hidden_states"].clone())

    handle = opened.backbone.denoiser.register_forward_pre_hook(keep, with_kwargs=True)
    yield read
    handle.remove()


def test_the_original_opens_a_picture_with_its_own_texts(
    opened: OpenRun, loaded_backbone: StableDiffusion
) -> None:
    """Until the handover both halves of the guidance read the frozen encoder, afterwards the tuned one."""
    base, complete = "an old man in the park", TEXTS[0]
    options = opened.config.sample.model_copy(update={"handover": 0.5})
    with heard(opened) as read:
        sample_images(
            opened.backbone, [complete], [0], options, before_handover=BeforeHandover([base], opened.adapter)
        )
    frozen, tuned = encode(loaded_backbone, ["", base]), encode(opened.backbone, ["", complete])
    for found, expected in ((read[0], frozen), (read[-1], tuned)):
        torch.testing.assert_close(found, expected.embeds_BLD, rtol=0, atol=1e-5)
    assert (tuned.embeds_BLD[0] - frozen.embeds_BLD[0]).abs().max() > 1e-2, "also the empty text is tuned"


def test_pictures_at_strength_0_are_the_originals(opened: OpenRun, loaded_backbone: StableDiffusion) -> None:
    def drawn(backbone: Any) -> list[bytes]:
        return [each.tobytes() for each in sample_images(backbone, TEXTS, [0, 1], opened.config.sample)]

    tuned = drawn(opened.backbone)
    opened.adapter.scale(0.0)
    unattached = opened.config.backbone.build()
    unattached.to(torch.device("cpu"))
    assert drawn(opened.backbone) == drawn(unattached) != tuned


def test_maps_are_measured_against_the_original_with_its_own_texts(
    opened: OpenRun, loaded_backbone: StableDiffusion, data: Path, tmp_path: Path
) -> None:
    Image.new("L", (32, 32), 255).save(tmp_path / "mask.png")
    row = replace(read_folder(data)[0], mask=tmp_path / "mask.png")
    with heard(opened) as read:
        map_quality(opened, {"map": Uniform()}, [row], AdapterOff())
    frozen = encode(loaded_backbone, [row.prompt.base_text])
    tuned = encode(opened.backbone, [row.prompt.complete_text])
    for found, expected in ((read[0], frozen), (read[1], tuned)):
        torch.testing.assert_close(found, expected.embeds_BLD, rtol=0, atol=1e-5)


def test_a_look_at_attention_shows_the_original_with_its_own_texts(opened: OpenRun) -> None:
    prompt = Prompt("an old man in the park", "wearing a hat")

    def look() -> Any:
        return attention_maps(opened, prompt, "hat", opened.config.sample, columns=2).strips

    before = look()
    opened.adapter.scale(0.0)
    after = look()
    assert before["original"].picture.tobytes() == after["tuned"].picture.tobytes()
    for one, other in zip(before["original"].attention, after["tuned"].attention, strict=True):
        assert (one == other).all()
    assert (before["tuned"].attention[-1] != after["tuned"].attention[-1]).any()
