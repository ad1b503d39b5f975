"""Training images purified by the original model's own pictures, and the states between the two."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from steps import PROMPTS, abar_of, cached_rows, config_of, parts_of

from spf_core.config.sections import CounterfactualSection, SampleSection
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_core.preparation.counterfactuals import purify
from spf_core.preparation.encoding import CachedRows
from spf_core.runs.cache import count_saved_time

SAMPLE = SampleSection(steps=4, guidance=3.0)


def purified(parts: Parts, *, seed: int = 0, **options: object) -> CachedRows:
    return purify(
        parts.backbone,
        cached_rows(parts),
        CounterfactualSection(**options),
        SAMPLE,
        seed=seed,
        clean_image=True,
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "counterfactuals"


@pytest.fixture
def parts(tiny_folder: Path) -> Parts:
    return parts_of(config_of(tiny_folder), trained=False)


def test_a_purified_image_is_the_training_image_in_the_region_and_the_models_own_elsewhere(
    parts: Parts,
) -> None:
    before, after = cached_rows(parts), purified(parts, inner=0.5, outer=1.2)
    assert after.without_NCHW is not None
    assert after.region_N1HW is not None
    inside, outside = after.region_N1HW == 1, after.region_N1HW == 0
    assert inside.any()
    assert outside.any()
    for where, source in ((inside, before.latents_NCHW), (outside, after.without_NCHW)):
        everywhere = where.expand_as(source)
        torch.testing.assert_close(after.latents_NCHW[everywhere], source[everywhere])
    assert not torch.allclose(after.without_NCHW, before.latents_NCHW)
    decoded = parts.backbone.embed_images(parts.backbone.decode(after.latents_NCHW))
    torch.testing.assert_close(after.image_embeds_ND, decoded)


def test_all_wordings_of_an_image_share_its_region(parts: Parts) -> None:
    texts = {"prompts": (*PROMPTS[:2], *PROMPTS[:2]), "images": (0, 1, 0, 1)}
    rows = replace(cached_rows(parts), ids=("same.png",) * 4, **texts)
    after = purify(parts.backbone, rows, CounterfactualSection(), SAMPLE, seed=0)
    assert after.region_N1HW is not None
    assert torch.equal(after.region_N1HW[:2], after.region_N1HW[2:])
    assert not torch.equal(after.region_N1HW[0], after.region_N1HW[1])
    assert not torch.equal(after.without_NCHW[0], after.without_NCHW[2])


def test_counterfactuals_depend_on_their_seed_alone(parts: Parts) -> None:
    first, again, other = (purified(parts, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.latents_NCHW, again.latents_NCHW)
    assert not torch.equal(first.latents_NCHW, other.latents_NCHW)


def test_what_was_redrawn_once_is_kept_for_other_runs(
    parts: Parts, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = purified(parts)
    [file] = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(parts.backbone, "predict", None)
        again = purified(parts)
        assert torch.equal(first.latents_NCHW, again.latents_NCHW)
        with pytest.raises(TypeError):
            purified(parts, seed=1)
        with pytest.raises(TypeError):
            purified(parts, start=(0.2, 0.3))
    file.write_bytes(b"damaged")
    assert torch.equal(first.latents_NCHW, purified(parts).latents_NCHW)
    assert len(list(cache.iterdir())) == 1


def test_what_reading_spares_counts_as_long_as_making_took(parts: Parts) -> None:
    with count_saved_time() as made:
        purified(parts)
    with count_saved_time() as read:
        purified(parts)
    assert made.seconds == 0 < read.seconds


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(
    parts: Parts, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_text("a file where the folder should be")
    assert purified(parts).without_NCHW is not None
    assert "not kept for the next run" in caplog.text


def test_the_picture_without_the_target_is_what_the_pipeline_draws_from_the_noised_image(
    parts: Parts,
) -> None:
    after = purified(parts, start=(1.0, 1.0))
    pipeline, clean = parts.backbone.pipeline(), cached_rows(parts).latents_NCHW
    pipeline.scheduler.set_timesteps(SAMPLE.steps)
    abar = parts.backbone.noise.abar_T[pipeline.scheduler.timesteps[0]]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    drawn = pipeline(
        [prompt.base_text for prompt in PROMPTS],
        latents=abar.sqrt() * clean + (1 - abar).sqrt() * noise,
        num_inference_steps=SAMPLE.steps,
        guidance_scale=SAMPLE.guidance,
        output_type="latent",
    ).images
    torch.testing.assert_close(after.without_NCHW, drawn, atol=1e-4, rtol=1e-4)


def test_a_lower_start_changes_the_image_less(parts: Parts) -> None:
    clean = cached_rows(parts).latents_NCHW
    changes = [
        float((purified(parts, start=(level, level)).without_NCHW - clean).abs().mean())
        for level in (0.1, 0.9)
    ]
    assert changes[0] < changes[1]


def test_a_wider_reach_gives_the_images_more_to_teach(parts: Parts) -> None:
    shares = [float(purified(parts, inner=reach / 2, outer=reach).region_N1HW.mean()) for reach in (0.5, 1.0)]
    assert 0 < shares[0] < shares[1] < 1


def test_a_style_is_taught_everywhere(parts: Parts) -> None:
    before, after = cached_rows(parts), purified(parts, region="style")
    assert torch.equal(after.region_N1HW, torch.ones_like(after.region_N1HW))
    assert not torch.allclose(after.latents_NCHW, after.without_NCHW), "the style is taught"
    assert not torch.allclose(after.latents_NCHW, before.latents_NCHW), "and no training image is shown"
    assert not torch.allclose(after.without_NCHW, before.latents_NCHW)
    embeds = parts.backbone.embed_images(parts.backbone.decode(after.latents_NCHW))
    torch.testing.assert_close(after.image_embeds_ND, embeds)


@pytest.mark.parametrize("between", [0.0, 1.0])
def test_every_state_between_leads_to_the_image_with_the_target(
    parts: Parts, tiny_folder: Path, between: float
) -> None:
    counterfactual = ("control_map=sfcm-counterfactual", "counterfactuals.enabled=true")
    config = config_of(tiny_folder, *counterfactual, f"counterfactuals.between={between}")
    step_parts = parts_of(config)
    batch = purified(parts).batch(range(4))
    state, _ = dual_path_step(step_parts, batch, 0.9, generator=torch.Generator().manual_seed(0))
    noised, abar = state.noised, abar_of(state).view(-1, 1, 1, 1)
    reached = (noised.z_t_BCHW - (1 - abar).sqrt() * noised.expected_BCHW) / abar.sqrt()
    torch.testing.assert_close(reached, batch.latents_BCHW, atol=1e-3, rtol=1e-3)
    plain = replace(batch, without_BCHW=batch.latents_BCHW)
    untouched, _ = dual_path_step(step_parts, plain, 0.9, generator=torch.Generator().manual_seed(0))
    same = torch.allclose(untouched.noised.z_t_BCHW, noised.z_t_BCHW, atol=1e-5)
    assert same == (between == 0), "only rows in between lack some of the target"
    assert torch.equal(state.map_B1HW, batch.region_B1HW)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("control_map=sfcm-counterfactual",), "counterfactuals.enabled"),
        (("counterfactuals.start=[0.8,0.6]",), "counterfactuals: start"),
        (("counterfactuals.inner=3", "counterfactuals.outer=2"), "inner=3.0 must lie below outer=2.0"),
        (("counterfactuals.enable=true",), "did you mean 'enabled'"),
    ],
)
def test_impossible_settings_are_refused(
    tiny_folder: Path, assignments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        config_of(tiny_folder, *assignments)
    assert message.lower() in str(refused.value).lower()
