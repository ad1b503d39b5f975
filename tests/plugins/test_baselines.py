"""What defines each baseline, on the tiny model."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from steps import batch_of, config_of, parts_of
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_core.interfaces import StepState
from spf_core.interfaces.types import LossReport
from spf_core.utils.prompts import Prompt


def stepped(parts: Parts, seed: int = 0, progress: float = 0.9) -> tuple[StepState, LossReport]:
    generator = torch.Generator().manual_seed(seed)
    return dual_path_step(parts, batch_of(parts), progress, generator=generator)


def preset(name: str, folder: Path, *assignments: str) -> RunConfig:
    return config_of(folder, *assignments, preset=name)


@torch.no_grad()
def predicted(parts: Parts, state: StepState, texts: list[str]) -> Tensor:
    cond = parts.backbone.encode_prompts([Prompt(text) for text in texts], with_target=False)
    return parts.backbone.predict(state.noised.z_t_BCHW, state.noised.timesteps_B, cond).pred_BCHW


def test_output_preservation_compares_both_models_under_the_base_text(tiny_folder: Path) -> None:
    parts = parts_of(preset("dop", tiny_folder))
    state, report = stepped(parts)
    texts = [prompt.base_text for prompt in state.batch.prompts]
    tuned = predicted(parts, state, texts)
    with parts.adapter.disabled():
        original = predicted(parts, state, texts)
    torch.testing.assert_close(report.raw["output-preservation"], F.mse_loss(tuned, original))


def test_blank_preservation_does_so_under_the_empty_text(tiny_folder: Path) -> None:
    parts = parts_of(preset("bpp", tiny_folder))
    state, report = stepped(parts)
    tuned = predicted(parts, state, [""] * 4)
    with parts.adapter.disabled():
        original = predicted(parts, state, [""] * 4)
    torch.testing.assert_close(report.raw["blank-preservation"], F.mse_loss(tuned, original))


def test_the_masked_prior_counts_outside_the_mask_alone_and_reads_the_complete_text(
    tiny_folder: Path,
) -> None:
    parts = parts_of(preset("masked-prior", tiny_folder))
    state, report = stepped(parts)
    texts = [prompt.complete_text for prompt in state.batch.prompts]
    tuned = predicted(parts, state, texts)
    with parts.adapter.disabled():
        original = predicted(parts, state, texts)
    outside = state.batch.mask_B1HW == 0
    expected = (tuned - original).pow(2).mean(1, keepdim=True)[outside].view(4, -1).mean()
    torch.testing.assert_close(report.raw["masked-prior-preservation"], expected)


def test_class_images_teach_the_originals_own_pictures_with_the_base_text(tiny_folder: Path) -> None:
    parts = parts_of(preset("class-images", tiny_folder))
    report = stepped(parts)[1]
    assert torch.isfinite(report.raw["class-preservation"])
    other = batch_of(parts)
    moved = dual_path_step(
        parts,
        type(other)(**{**vars(other), "class_BCHW": other.class_BCHW + 1}),
        0.9,
        generator=torch.Generator().manual_seed(0),
    )[1]
    assert moved.raw["class-preservation"] != report.raw["class-preservation"]
    assert torch.equal(moved.raw["denoising"], report.raw["denoising"])


def test_prior_prediction_holds_the_rows_that_read_the_base_text(tiny_folder: Path) -> None:
    parts = parts_of(preset("prior-prediction", tiny_folder))
    state, report = stepped(parts, seed=2)
    kept = ~state.has_target_B
    assert 0 < int(kept.sum()) < 4, "the seed is chosen so that the batch is mixed"
    assert state.reference is not None
    difference = (state.response.pred_BCHW - state.reference.pred_BCHW).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(report.raw["output-alignment"], (difference * kept).mean())


def test_the_slider_aims_along_the_originals_direction_of_the_target(tiny_folder: Path) -> None:
    parts = parts_of(preset("slider", tiny_folder, "train.noise_share=0"))
    state, report = stepped(parts)
    prompts = state.batch.prompts
    with parts.adapter.disabled():
        base = predicted(parts, state, [prompt.base_text for prompt in prompts])
        target = predicted(parts, state, [str(prompt.target_text) for prompt in prompts])
        empty = predicted(parts, state, [""] * 4)
    tuned = predicted(parts, state, [prompt.complete_text for prompt in prompts])
    eta = parts.terms["concept-direction"][0].eta  # type: ignore[attr-defined]
    expected = F.mse_loss(tuned, base + eta * (target - empty))
    torch.testing.assert_close(report.raw["concept-direction"], expected)
    assert "denoising" not in report.raw


def purecc_parts(parts: Parts, state: StepState) -> tuple[Tensor, Tensor]:
    """How the complete text changes the tuned prediction, with gradient, and the target's direction."""
    prompts, noised = state.batch.prompts, state.noised
    complete, base = (
        parts.backbone.predict(
            noised.z_t_BCHW,
            noised.timesteps_B,
            parts.backbone.encode_prompts([Prompt(text) for text in texts], with_target=False),
        ).pred_BCHW
        for texts in ([each.complete_text for each in prompts], [each.base_text for each in prompts])
    )
    target = predicted(parts, state, [str(prompt.target_text) for prompt in prompts])
    return complete - base, target - predicted(parts, state, [""] * 4)


def test_purecc_is_the_part_of_the_change_across_stage_1s_direction(tiny_folder: Path) -> None:
    parts = parts_of(preset("purecc", tiny_folder))
    state, report = stepped(parts)
    change, direction = purecc_parts(parts, state)
    sine = 1 - F.cosine_similarity(change.flatten(1), direction.flatten(1)).pow(2)
    expected = (change.pow(2).mean((1, 2, 3)) * sine).mean()
    torch.testing.assert_close(report.raw["pure-concept"], expected)
    torch.testing.assert_close(report.weighted["pure-concept"], 2 * expected)
    trained = list(parts.adapter.parameters())
    gradients = (torch.autograd.grad(loss, trained) for loss in (report.raw["pure-concept"], expected))
    for own, independent in zip(*gradients, strict=True):
        torch.testing.assert_close(own, independent)


def test_purecc_with_a_fixed_length_is_what_its_published_code_computes(tiny_folder: Path) -> None:
    parts = parts_of(preset("purecc", tiny_folder, "losses.pure-concept.length=1"))
    state, report = stepped(parts)
    change, direction = purecc_parts(parts, state)
    torch.testing.assert_close(report.raw["pure-concept"], (change - direction).pow(2).mean())


def test_purecc_starts_after_stage_1_and_keeps_its_extractor(tiny_folder: Path) -> None:
    parts = parts_of(preset("purecc", tiny_folder))
    assert set(stepped(parts, progress=0.2)[1].raw) == {"denoising"}
    before = stepped(parts)[1].raw["pure-concept"]
    term = parts.terms["pure-concept"][1]
    kept = term.state_dict()  # type: ignore[attr-defined]
    with torch.no_grad():
        for parameter in parts.adapter.parameters():
            parameter.mul_(3)
    after = stepped(parts)[1].raw["pure-concept"]
    fresh = parts_of(preset("purecc", tiny_folder))
    fresh.terms["pure-concept"][1].load_state_dict(kept)  # type: ignore[attr-defined]
    fresh.adapter.load_state_dict(parts.adapter.state_dict())
    assert torch.equal(stepped(fresh)[1].raw["pure-concept"], after)
    assert after != before


@pytest.mark.parametrize("adapter", ["lora-adapter", "full-unet", "cross-attention"])
def test_l2_drift_is_the_squared_distance_of_the_weights(adapter: str, tiny_folder: Path) -> None:
    config = preset("l2-drift", tiny_folder, f"adapter={adapter}")
    assert stepped(parts_of(config, trained=False))[1].raw["weight-drift"] == 0
    parts = parts_of(config)
    expected = drift(parts, adapter)
    torch.testing.assert_close(stepped(parts)[1].raw["weight-drift"].detach(), expected)


def drift(parts: Parts, adapter: str) -> Tensor:
    if adapter != "lora-adapter":
        tuned = {name: weight.clone() for name, weight in parts.backbone.denoiser.named_parameters()}
        with parts.adapter.disabled():
            original = dict(parts.backbone.denoiser.named_parameters())
            return torch.stack([(tuned[name] - original[name]).pow(2).sum() for name in tuned]).sum()
    layers = [module for module in parts.backbone.denoiser.modules() if hasattr(module, "lora_A")]
    return torch.stack([layer.get_delta_weight("default").pow(2).sum() for layer in layers]).sum().detach()


def test_l2_drift_of_dora_is_that_of_the_weights_it_merges_to(tiny_folder: Path) -> None:
    targets = "adapter={name: lora-adapter, dora: true, targets: [to_q, proj_in]}"
    parts = parts_of(preset("l2-drift", tiny_folder, targets))
    found = stepped(parts)[1].raw["weight-drift"].detach()
    expected = torch.zeros(())
    for layer in [module for module in parts.backbone.denoiser.modules() if hasattr(module, "lora_A")]:
        before = layer.get_base_layer().weight.clone()
        layer.merge()
        expected += (layer.get_base_layer().weight - before).pow(2).sum()
    torch.testing.assert_close(found, expected.detach())


def test_a_drift_needs_an_adapter_that_knows_it(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="use lora-adapter or full-unet"):
        stepped(parts_of(preset("l2-drift", tiny_folder, "adapter=adalora-adapter")))


def grounded(parts: Parts, seed: int = 0, **changed: Tensor) -> tuple[StepState, LossReport]:
    """A step with a mask that no coarser position holds whole."""
    batch = batch_of(parts)
    mask_B1HW = torch.zeros_like(batch.mask_B1HW)
    mask_B1HW[:, :, 3:6, 1:4] = 0.2
    batch = replace(batch, **{"mask_B1HW": mask_B1HW, **changed})
    return dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(seed))


def independent_grounding(state: StepState, rows: list[int]) -> tuple[Tensor, Tensor]:
    """Both losses token by token; sums over rows."""
    token = pixel = torch.zeros(())
    for row in rows:
        places = state.batch.complete.target_BL[row].nonzero().flatten().tolist()
        grouped: dict[tuple[bool, int], list[Tensor]] = {}
        for name, attention in state.response.attention.items():
            if not name.startswith("down_blocks."):
                key = name.startswith("mid_block."), attention.shape[1]
                grouped.setdefault(key, []).append(attention[row])
        for (_, positions), layers in grouped.items():
            side = round(positions**0.5)
            inside = F.adaptive_max_pool2d(state.batch.mask_B1HW[row], side).flatten() > 0
            for layer in layers:
                shares = [layer[inside, place].sum() / layer[:, place].sum() for place in places]
                token = token + sum((1 - share) ** 2 for share in shares) / len(places)
            mean = sum(layers) / len(layers)
            attended = sum(mean[:, place] for place in places)
            pixel = pixel + F.binary_cross_entropy(attended, inside.float())
    return token, pixel


def test_grounding_sums_over_the_layers_and_resolutions_of_mid_and_up_blocks(tiny_folder: Path) -> None:
    parts = parts_of(preset("tokencompose", tiny_folder))
    state, report = grounded(parts)
    names = list(state.response.attention)
    assert {name.partition(".")[0] for name in names} == {"down_blocks", "mid_block", "up_blocks"}
    assert sum(name.startswith("up_blocks") for name in names) > 1, "layers of one resolution share a group"
    assert state.batch.complete.target_BL.count_nonzero(1).max() > 1
    token, pixel = independent_grounding(state, [0, 1, 2, 3])
    torch.testing.assert_close(report.raw["token-grounding"], token / 4)
    torch.testing.assert_close(report.raw["pixel-grounding"], pixel / 4)


def test_grounding_leaves_out_rows_whose_target_was_cut_off(tiny_folder: Path) -> None:
    parts = parts_of(preset("tokencompose", tiny_folder))
    complete = batch_of(parts).complete
    cut = complete.target_BL.clone()
    cut[1] = 0
    state, report = grounded(parts, complete=replace(complete, target_BL=cut))
    token, pixel = independent_grounding(state, [0, 2, 3])
    torch.testing.assert_close(report.raw["token-grounding"], token / 4)
    torch.testing.assert_close(report.raw["pixel-grounding"], pixel / 4)
    report.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in parts.adapter.parameters())  # type: ignore[union-attr]


def test_grounding_leaves_out_rows_that_read_no_target(tiny_folder: Path) -> None:
    parts = parts_of(preset("tokencompose", tiny_folder, "train.caption_dropout=0.5"))
    state, report = grounded(parts)
    rows = state.has_target_B.nonzero().flatten().tolist()
    assert 0 < len(rows) < 4, "the seed is chosen so that the batch is mixed"
    token, pixel = independent_grounding(state, rows)
    torch.testing.assert_close(report.raw["token-grounding"], token / 4)
    torch.testing.assert_close(report.raw["pixel-grounding"], pixel / 4)


def test_grounding_is_computed_in_float32_under_autocast(tiny_folder: Path) -> None:
    parts = parts_of(preset("tokencompose", tiny_folder))
    state, report = grounded(parts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, expected in report.raw.items():
            if name.endswith("grounding"):
                assert torch.equal(parts.terms[name][1](state), expected)


def test_token_grounding_is_zero_where_all_attention_lies_inside_the_mask(tiny_folder: Path) -> None:
    parts = parts_of(preset("tokencompose", tiny_folder))
    report = grounded(parts, mask_B1HW=torch.ones_like(batch_of(parts).mask_B1HW))[1]
    assert report.raw["token-grounding"] < 1e-10


def test_a_reward_pulls_its_own_pictures_towards_it(tiny_folder: Path) -> None:
    config = preset("refl", tiny_folder, "losses.denoising.weight=0", "losses.reward-feedback.weight=1")
    parts = parts_of(config)
    optimizer = torch.optim.Adam(parts.adapter.parameters(), lr=1e-2)
    values = []
    for _ in range(8):
        report = stepped(parts, seed=3)[1]
        values.append(float(report.total.detach()))
        report.total.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert values[-1] < values[0]


def test_a_reward_is_missed_before_training_starts(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="set it to one of clip-reward"):
        preset("refl", tiny_folder, "reward=null")


def test_direct_supervision_compares_with_the_targets_text(tiny_folder: Path) -> None:
    config = preset("clip-direct", tiny_folder, "response.max_timestep=1")
    report = stepped(parts_of(config))[1]
    assert set(report.raw) == {"denoising", "clip-direct-supervision"}
