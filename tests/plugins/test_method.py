"""The method's own terms and map against independent code, on the tiny model."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from steps import abar_of, batch_of, cached_rows, config_of, parts_of
from torch import Tensor

from spf_core.config.loading import load_run_config
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.helpers import middle_attention
from spf_core.interfaces import StepState
from spf_core.interfaces.types import Capture, Conditioning
from spf_core.plugins.discovery import load_plugins
from spf_core.preparation.encoding import widen
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones.noise_processes import DDPMNoise

REPLACING = Prompt(
    "a portrait of a young woman, plain face, red hair, green shirt, teal background",
    "round face with many freckles",
    replaces="plain face",
)


def state_of(parts: Parts, prompts: list[Prompt] | None = None, seed: int = 0) -> StepState:
    batch = batch_of(parts)
    if prompts:
        complete = parts.backbone.encode_prompts(prompts, with_target=True)
        base = parts.backbone.encode_prompts(prompts, with_target=False)
        empty = widen(batch.empty, complete.phrase_BPL.shape[1])
        batch = replace(batch, prompts=tuple(prompts), complete=complete, base=base, empty=empty)
    return dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(seed))[0]


def tokens_of(parts: Parts, text: str, words: str) -> list[int]:
    """Places of the tokens of `words` in `text`, by tokenizing what stands before them."""
    ids = parts.backbone.pipeline().tokenizer
    before = len(ids(text[: text.index(words)])["input_ids"]) - 1
    return list(range(before, before + len(ids(words)["input_ids"]) - 2))


def shares(parts: Parts, attention_QL: np.ndarray, text: str, phrases: list[str], pads: int) -> np.ndarray:
    """For each query the mean share of every phrase, and of EOT and PAD, of which `pads` count."""
    ended = len(parts.backbone.pipeline().tokenizer(text)["input_ids"]) - 1
    places = [tokens_of(parts, text, phrase) for phrase in phrases]
    pad = attention_QL[:, ended:].mean(1)
    total = attention_QL[:, [place for each in places for place in each]].sum(1) + pads * pad
    return np.stack([*(attention_QL[:, each].mean(1) for each in places), pad], axis=1) / total[:, None]


def test_text_consistency_compares_shares_where_each_text_has_its_phrases(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "control_map=uniform"))
    state = state_of(parts, [REPLACING] * 4)
    kept = [phrase for phrase in REPLACING.phrases if phrase != "plain face"]
    texts = REPLACING.complete_text, REPLACING.base_text
    ended = [len(parts.backbone.pipeline().tokenizer(text)["input_ids"]) - 1 for text in texts]
    pads, expected = parts.backbone.max_tokens - max(ended), []
    for layer, res in state.response.attention.items():
        per_row = [
            (
                shares(parts, r.detach().double().numpy(), REPLACING.complete_text, kept, pads)
                - shares(parts, f.double().numpy(), REPLACING.base_text, kept, pads)
            )
            for r, f in zip(res, state.reference.attention[layer], strict=True)
        ]
        expected.append(np.mean([(each**2).mean(0).sum() for each in per_row]))
    term = parts.terms["text-consistency"][1]
    assert float(term(state).detach()) == pytest.approx(np.mean(expected), rel=1e-4)


def test_text_consistency_is_about_zero_at_an_untrained_model_whose_target_replaces_words() -> None:
    """On `mini`, which reads words. At the reference's places other words would be compared."""
    config = load_run_config(load_plugins(), preset="spf-paper", assignments=["control_map=uniform"])
    parts = parts_of(config, trained=False)
    prompts = [
        Prompt(
            "a portrait of a young woman with straight red hair, in front of a yellow background, blue shirt",
            "a very long curly black beard and hair",
            replaces="straight red hair",
        )
    ]
    size = parts.backbone.denoiser.config.sample_size
    z_t = torch.randn(1, 4, size, size, generator=torch.Generator().manual_seed(0))
    complete, base = (parts.backbone.encode_prompts(prompts, with_target=flag) for flag in (True, False))
    outputs = [
        parts.backbone.predict(z_t, torch.tensor([500]), text, Capture(attention=True))
        for text in (complete, base)
    ]
    term = parts.terms["text-consistency"][1]

    def value(read: Conditioning) -> float:
        seen = SimpleNamespace(
            response=outputs[0],
            reference=outputs[1],
            response_text=read,
            reference_text=base,
            map_B1HW=torch.zeros(1, 1, size, size),
            grids={site.name: site.grid(size, size) for site in parts.backbone.attention_sites()},
        )
        return float(term(seen).detach())

    assert value(complete) < 0.5 * value(replace(complete, phrase_BPL=base.phrase_BPL))
    assert value(complete) < 5e-3


def test_text_consistency_leaves_out_a_phrase_that_a_text_lacks(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "control_map=uniform"))
    state = state_of(parts)
    term = parts.terms["text-consistency"][1]

    def without_first(text: Conditioning) -> Conditioning:
        phrase_BPL = text.phrase_BPL.clone()
        phrase_BPL[:, 0] = 0
        return replace(text, phrase_BPL=phrase_BPL)

    one = replace(state, response_text=without_first(state.response_text))
    both = replace(one, reference_text=without_first(state.reference_text))
    assert torch.equal(term(one), term(both))
    assert not torch.equal(term(one), term(state))


@pytest.mark.parametrize("replacing", [False, True])
def test_a_bank_compares_a_row_without_entry_with_itself(replacing: bool, tiny_folder: Path) -> None:
    settings = ("train.noise_share=0.5", "reference.name=bank", "reference.states=2", "control_map=uniform")
    parts = parts_of(config_of(tiny_folder, *settings))
    state = state_of(parts, [REPLACING] * 4 if replacing else None)
    itself = replace(state, reference=state.response, reference_text=state.response_text)
    assert float(parts.terms["text-consistency"][1](itself).detach()) == 0


def test_older_runs_renormalised_among_phrases_alone(tiny_folder: Path) -> None:
    for saved, means in ((True, "phrases"), (False, "none")):
        config = config_of(tiny_folder, f"losses.text-consistency.renormalise={str(saved).lower()}")
        assert config.losses["text-consistency"].renormalise == means
    assert config_of(tiny_folder).losses["text-consistency"].renormalise == "all"
    ours = config_of(tiny_folder, preset="spf").losses["text-consistency"]
    assert ours.renormalise == "phrases", "its records were measured with it"


@pytest.mark.parametrize(
    ("sides", "read"), [((8, 4, 2), {4}), ((8, 4, 2, 1), {4, 2}), ((8, 4), {8, 4}), ((8,), {8})]
)
def test_the_middle_resolutions_are_read(sides: tuple[int, ...], read: set[int]) -> None:
    attention = {f"layer.{side}": torch.full((1, side * side, 3), float(side)) for side in sides}
    grids = {f"layer.{side}": (side, side) for side in sides}
    found = middle_attention(attention, torch.tensor([[[1.0, 0, 0]]]), grids, torch.Size((8, 8)))
    assert float(found.mean()) == pytest.approx(sum(read) / len(read))


def norm(image: np.ndarray) -> np.ndarray:
    return (image - image.min()) / max(image.max() - image.min(), 1e-8)


def drawn(parts: Parts, state: StepState, weights: str) -> np.ndarray:
    """The figure's map of every row, in numpy."""
    height, width = state.noised.z_t_BCHW.shape[-2:]
    sizes = sorted({values.shape[1] for values in state.reference.attention.values()})
    middle = sizes[(len(sizes) - 1) // 2 : len(sizes) // 2 + 1]
    maps = []
    for row, prompt in enumerate(state.batch.prompts):
        change = (state.response.pred_BCHW - state.reference.pred_BCHW)[row].detach()
        difference = norm(change.abs().mean(0).double().numpy())
        texts = parts.backbone.embed_texts([*prompt.phrases, prompt.target_text]).double()
        distance = (1 - texts[:-1] @ texts[-1]).numpy()
        subtracted = []
        for phrase in prompt.phrases:
            places = tokens_of(parts, prompt.base_text, phrase)
            layers = []
            for values in state.reference.attention.values():
                if values.shape[1] in middle:
                    side = round(values.shape[1] ** 0.5)
                    image = values[row, :, places].mean(1).reshape(1, 1, side, side).double()
                    layers.append(F.interpolate(image, (height, width), mode="bilinear", align_corners=False))
            subtracted.append(norm(torch.cat(layers).mean((0, 1)).numpy()))
        if weights == "rescaled":
            distance = (distance - distance.min()) / (distance.max() - distance.min()) / len(distance)
        total = np.sum([w * a for w, a in zip(distance, subtracted, strict=True)], axis=0)
        maps.append(norm(np.clip(difference - total, 0, None)))
    return np.stack(maps)


@pytest.mark.parametrize("weights", ["rescaled", "plain"])
def test_sfcm_v1_is_the_figure_step_by_step(weights: str, tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, f"control_map.weights={weights}"))
    state = state_of(parts)
    assert np.allclose(state.map_B1HW[:, 0].numpy(), drawn(parts, state, weights), atol=2e-4)


@pytest.mark.parametrize("path", ["reference", "response"])
def test_sfcm_v1_reads_the_phrases_where_the_path_has_them(path: str, tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, f"control_map.path={path}"))
    state = state_of(parts, [REPLACING] * 4)
    other = {"reference": state.response_text, "response": state.reference_text}[path]
    text = f"{path}_text"
    moved = replace(state, **{text: replace(getattr(state, text), phrase_BPL=other.phrase_BPL)})
    assert torch.equal(parts.control_map(state), state.map_B1HW)
    assert not torch.equal(parts.control_map(moved), state.map_B1HW)


def test_the_plain_loss_of_a_velocity_model_is_that_of_its_target() -> None:
    generator = torch.Generator().manual_seed(0)
    z_0, noise, pred_v = torch.randn(3, 5, 4, 8, 8, generator=generator).double()
    abar = torch.linspace(0.05, 0.95, 5).double()
    a = abar.view(-1, 1, 1, 1)
    z_t, v = a.sqrt() * z_0 + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * z_0
    eps = a.sqrt() * pred_v + (1 - a).sqrt() * z_t
    t = torch.arange(5)
    of_v, of_eps = (
        DDPMNoise(SimpleNamespace(alphas_cumprod=abar, config=SimpleNamespace(prediction_type=predicted)))
        for predicted in ("v_prediction", "epsilon")
    )
    found = of_v.error(eps, noise, t)
    torch.testing.assert_close(found, (pred_v - v).pow(2).mean((1, 2, 3)), rtol=1e-5, atol=0)
    torch.testing.assert_close(of_eps.error(eps, noise, t), (eps - noise).pow(2).mean((1, 2, 3)))


@pytest.mark.parametrize("loss", ["denoising", "class-preservation"])
def test_a_velocity_model_trains_on_the_error_of_its_velocity(loss: str, tiny_folder: Path) -> None:
    settings = ("losses.class-preservation.weight=1", "response=null", "train.noise_offset=0")
    values = {}
    for predicted in ("epsilon", "v_prediction"):
        parts = parts_of(config_of(tiny_folder, *settings))
        parts.backbone.noise.trained_on_v = predicted == "v_prediction"
        predict = type(parts.backbone).predict

        def plainly(*args, _predict=predict, _backbone=parts.backbone, **options):
            """The same eps for both, so that the weight over t alone differs."""
            _backbone.noise.trained_on_v, kept = False, _backbone.noise.trained_on_v
            try:
                return _predict(_backbone, *args, **options)
            finally:
                _backbone.noise.trained_on_v = kept

        parts.backbone.predict = plainly
        state, report = dual_path_step(
            parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0)
        )
        values[predicted] = state, report.raw[loss].detach()
    state, weighed = values["v_prediction"]
    assert weighed > values["epsilon"][1]
    if loss == "denoising":
        error = (state.response.pred_BCHW - state.noised.expected_BCHW).pow(2).mean((1, 2, 3)).detach()
        torch.testing.assert_close(weighed, (error / abar_of(state)).mean())


def cosine_with_the_target(state: StepState, pred: Tensor, rows: Tensor) -> Tensor:
    backbone = state.backbone
    t, z_t = state.noised.timesteps_B[rows], state.noised.z_t_BCHW[rows]
    with torch.no_grad():
        seen = backbone.embed_images(backbone.decode(backbone.noise.clean(z_t, pred[rows], t)))
    return (seen * state.batch.complete.target_embed_BD[rows]).sum(1)


def test_the_enhancement_of_the_method_raises_the_target_inside_the_map_alone(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "response.max_timestep=0.6", "train.max_timestep=0.5"))
    name, (_, term) = next((n, t) for n, t in parts.terms.items() if n.startswith("clip-"))
    assert name == "clip-region"
    raised = []
    for seed in range(6):
        state = state_of(parts, seed=seed)
        pred = state.response.pred_BCHW.detach().requires_grad_()
        moving = replace(state, response=replace(state.response, pred_BCHW=pred))
        term(moving).backward()
        assert bool((pred.grad[(state.map_B1HW == 0).expand_as(pred)] == 0).all())
        rows = pred.grad.flatten(1).norm(dim=1).nonzero().flatten()
        length = pred.grad[rows].flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        stepped = pred.detach().clone()
        stepped[rows] -= 0.05 * pred.grad[rows] / length
        raised.append(
            cosine_with_the_target(state, stepped, rows) - cosine_with_the_target(state, pred.detach(), rows)
        )
    assert float((torch.cat(raised) > 0).float().mean()) > 0.5


def test_outside_the_map_the_enhancement_sees_the_reference(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "response.max_timestep=1"))
    term = parts.terms["clip-region"][1]
    state = state_of(parts)
    nowhere = replace(state, map_B1HW=torch.zeros_like(state.map_B1HW))
    backbone, rows = parts.backbone, torch.arange(4)
    expected = 1 - cosine_with_the_target(state, state.reference.pred_BCHW, rows)
    found = term(nowhere)
    torch.testing.assert_close(found, expected.mean())
    everywhere = replace(state, map_B1HW=torch.ones_like(state.map_B1HW))
    torch.testing.assert_close(
        term(everywhere).detach(), 1 - cosine_with_the_target(state, state.response.pred_BCHW, rows).mean()
    )
    assert backbone is state.backbone


def test_cached_rows_need_no_embedded_images_for_the_method(tiny_folder: Path) -> None:
    config = config_of(tiny_folder)
    assert "clean_image" not in config.needs
    parts = parts_of(config)
    report = dual_path_step(
        parts, cached_rows(parts).batch(range(4)), 0.9, generator=torch.Generator().manual_seed(0)
    )[1]
    assert torch.isfinite(report.total)
