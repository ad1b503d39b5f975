"""The dual-path step: what it computes, what it leaves out, and what the maps and terms mean."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spf_core.config import RunConfig, SampleSection, load_run_config
from spf_core.errors import ConfigError, PluginError
from spf_core.plugins import load_plugins
from spf_core.prompts import Prompt
from spf_core.step import Parts, build_parts, dual_path_step
from spf_core.trajectories import record_trajectories
from spf_core.types import Batch

PROMPTS = [
    Prompt("a portrait of a young woman with red hair", "wearing round glasses"),
    Prompt("an old man in the park", "wearing a hat"),
    Prompt("a portrait of an old woman, red hair", "watercolor style"),
    Prompt("a young man with a hat in the park", "wearing glasses"),
]


def config_of(folder: Path, *assignments: str, preset: str = "spf-paper") -> RunConfig:
    return load_run_config(
        load_plugins(), preset=preset, assignments=[f"backbone.path={folder}", *assignments]
    )


def parts_of(config: RunConfig, trained: bool = True) -> Parts:
    torch.manual_seed(0)
    backbone, adapter = config.backbone.build(), config.adapter.build()
    adapter.attach(backbone)
    if trained:
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return build_parts(config, backbone, adapter)


def batch_of(parts: Parts) -> Batch:
    generator = torch.Generator().manual_seed(1)
    backbone = parts.backbone
    pixels = torch.rand(len(PROMPTS), 3, 32, 32, generator=generator) * 2 - 1
    complete = backbone.encode_prompts(PROMPTS, with_target=True)
    padding = [Prompt("", None, ())] * len(PROMPTS)
    return Batch(
        ids=tuple("abcd"),
        latents_BCHW=backbone.encode_images(pixels),
        rows=torch.arange(len(PROMPTS)),
        complete=complete,
        base=backbone.encode_prompts(PROMPTS, with_target=False),
        empty=_like(backbone.encode_prompts(padding[:1], with_target=False), complete),
        image_embeds_BD=backbone.embed_images(pixels).detach(),
    )


def _like(empty, complete):
    from spf_core.cache import widen

    return widen(empty, complete.phrase_BPL.shape[1])


def run(parts: Parts, progress: float = 0.9, seed: int = 0):
    return dual_path_step(parts, batch_of(parts), progress, generator=torch.Generator().manual_seed(seed))


def test_same_seed_gives_the_same_losses_and_another_seed_others(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder))
    first, second, other = (run(parts, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(first.total, second.total)
    assert not torch.equal(first.total, other.total)


def test_both_paths_see_the_same_noise_so_an_untrained_adapter_has_no_alignment_loss(
    tiny_folder: Path,
) -> None:
    config = config_of(tiny_folder, "control_map=uniform", "train.base_share=0.999")
    _, report = run(parts_of(config, trained=False))
    assert report.raw["fine-grained"] == 0
    assert report.raw["text-consistency"] == 0


def test_alignment_losses_are_positive_once_the_adapter_moved(tiny_folder: Path) -> None:
    _, report = run(parts_of(config_of(tiny_folder, "control_map=uniform")))
    assert report.raw["fine-grained"] > 0
    assert report.raw["text-consistency"] > 0


def test_stage_one_runs_no_reference_and_captures_nothing(tiny_folder: Path) -> None:
    state, report = run(parts_of(config_of(tiny_folder)), progress=0.0)
    assert set(report.raw) == {"denoising"}
    assert state.reference is None
    assert state.map_B1HW is None
    assert not state.response.attention
    assert not state.response.queries


def test_plain_lora_needs_no_reference_at_any_time(tiny_folder: Path) -> None:
    state, report = run(parts_of(config_of(tiny_folder, preset="lora")))
    assert state.reference is None
    assert set(report.raw) == {"denoising"}


@pytest.mark.parametrize("name", ["sfcm-v1", "sfcm-v2", "sfcm-prompted", "uniform", "target-attention"])
def test_every_control_map_lies_between_zero_and_one_and_carries_no_gradient(
    tiny_folder: Path, name: str
) -> None:
    state, _ = run(parts_of(config_of(tiny_folder, f"control_map={name}")))
    assert state.map_B1HW is not None
    assert state.map_B1HW.shape == (4, 1, 8, 8)
    assert state.map_B1HW.min() >= 0
    assert state.map_B1HW.max() <= 1
    assert not state.map_B1HW.requires_grad


def test_the_prompted_map_does_not_depend_on_what_was_learnt(tiny_folder: Path) -> None:
    maps = {}
    for name in ("sfcm-prompted", "sfcm-v2"):
        config = config_of(tiny_folder, f"control_map={name}", "control_map.memory=0")
        maps[name] = [run(parts_of(config, trained=trained))[0].map_B1HW for trained in (False, True)]
    assert torch.equal(*maps["sfcm-prompted"])
    assert not torch.equal(*maps["sfcm-v2"])
    torch.testing.assert_close(maps["sfcm-prompted"][0], maps["sfcm-v2"][0], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("space", "weight"),
    [
        ("noise", lambda abar: torch.ones_like(abar)),
        ("velocity", lambda abar: 1 / abar),
        ("image", lambda abar: (1 - abar) / abar),
    ],
)
def test_region_denoising_weighs_timesteps_by_its_space(tiny_folder: Path, space: str, weight) -> None:
    everywhere = ("losses.region-denoising.weight=1", "losses.region-denoising.floor=1")
    spaced = f"losses.region-denoising.space={space}"
    state, report = run(parts_of(config_of(tiny_folder, *everywhere, spaced)))
    error = (state.response.pred_BCHW - state.noised.noise_BCHW).pow(2)
    expected = (error.mean((1, 2, 3)) * weight(state.noised.abar_B)).mean()
    torch.testing.assert_close(report.raw["region-denoising"], expected)


def test_rows_without_their_target_have_an_empty_map_and_do_not_teach(tiny_folder: Path) -> None:
    assignments = ("train.base_share=0.3", "train.empty_share=0.2")
    state, report = run(parts_of(config_of(tiny_folder, *assignments)), seed=0)
    assert state.map_B1HW is not None
    kept = state.has_target_B
    assert 0 < int(kept.sum()) < 4, "the seed is chosen so that the batch is mixed"
    assert state.map_B1HW[~kept].abs().max() == 0
    errors = (state.response.pred_BCHW - state.noised.noise_BCHW).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(report.raw["denoising"], errors[kept].mean())


def test_a_full_map_switches_alignment_off(tiny_folder: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "full_map.py"
    plugin.write_text(FULL_MAP)
    plugins = load_plugins([plugin])
    config = load_run_config(
        plugins, preset="spf-paper", chosen=["full-map"], assignments=[f"backbone.path={tiny_folder}"]
    )
    _, report = run(parts_of(config))
    assert report.raw["fine-grained"] == 0
    assert report.raw["text-consistency"] == 0
    assert report.raw["denoising"] > 0


FULL_MAP = '''
from spf_core.components import ControlMapConfig
from spf_core.hookspecs import hookimpl


class FullMap(ControlMapConfig):
    """M = 1 everywhere."""

    name = "full-map"

    def build(self):
        import torch

        return lambda state: torch.ones_like(state.noised.z_t_BCHW[:, :1])


@hookimpl
def spf_register_control_maps():
    return [FullMap]
'''


def test_gradients_reach_the_adapter_and_nothing_else(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder))
    _, report = run(parts)
    report.total.backward()
    trained = set(map(id, parts.adapter.parameters()))
    assert all(parameter.grad is not None for parameter in parts.adapter.parameters())
    others = [p for p in parts.backbone.denoiser.parameters() if id(p) not in trained]
    assert others
    assert all(parameter.grad is None for parameter in others)


def test_a_term_that_reads_the_reference_without_one_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="reference"):
        config_of(tiny_folder, "reference=null")


def test_a_loss_that_raises_is_named(tiny_folder: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "bad.py"
    plugin.write_text(BAD_LOSS)
    plugins = load_plugins([plugin])
    config = load_run_config(plugins, chosen=["bad-loss"], assignments=[f"backbone.path={tiny_folder}"])
    with pytest.raises(PluginError, match="loss 'bad-loss' failed in the step: ZeroDivisionError"):
        run(parts_of(config))


BAD_LOSS = '''
from spf_core.components import LossConfig
from spf_core.hookspecs import hookimpl


class BadLoss(LossConfig):
    """Divides by zero."""

    name = "bad-loss"

    def build(self):
        return lambda state: 1 / 0


@hookimpl
def spf_register_loss_terms():
    return [BadLoss]
'''


def test_rows_from_the_models_own_sampling_are_aligned_but_teach_nothing(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "train.noise_share=0.5", "control_map=uniform"))
    batch = batch_of(parts)
    generator = torch.Generator().manual_seed(5)
    bank = record_trajectories(
        parts.backbone,
        batch.base,
        batch.empty,
        batch.latents_BCHW.shape[1:],
        SampleSection(steps=3),
        generator=generator,
    )
    state, report = dual_path_step(replace(parts, trajectories=bank), batch, 0.9, generator=generator)
    own = ~state.noised.from_data_B
    assert 0 < int(own.sum()) < 4, "the seed is chosen so that the batch is mixed"
    for row in own.nonzero().flatten():
        step = bank.timesteps_S.tolist().index(int(state.noised.timesteps_B[row]))
        recorded = torch.equal(state.noised.z_t_BCHW[row], bank.states_NSCHW[row, step])
        assert recorded == (step > 0), "the first state is fresh noise, the later ones are recorded"
    errors = (state.response.pred_BCHW - state.noised.noise_BCHW).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(report.raw["denoising"], errors[~own].mean())


def test_trajectories_hold_only_the_states_that_the_tuned_model_meets(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder))
    batch = batch_of(parts)
    whole, late = (
        record_trajectories(
            parts.backbone,
            batch.base,
            batch.empty,
            batch.latents_BCHW.shape[1:],
            SampleSection(steps=4, handover=handover),
            generator=torch.Generator().manual_seed(5),
        )
        for handover in (1.0, 0.6)
    )
    met = whole.timesteps_S < 600
    assert late.timesteps_S.tolist() == whole.timesteps_S[met].tolist() != []
    assert torch.equal(late.states_NSCHW, whole.states_NSCHW[:, met])
    states, times = late.draw(torch.arange(4), generator=torch.Generator().manual_seed(1))
    for row in range(4):
        step = late.timesteps_S.tolist().index(int(times[row]))
        assert torch.equal(states[row], late.states_NSCHW[row, step]), "no state is replaced by fresh noise"


def test_a_recorded_trajectory_ends_where_the_pipeline_ends(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder), trained=False)
    batch, options = batch_of(parts), SampleSection(steps=4, guidance=3.0)
    shape = batch.latents_BCHW.shape[1:]
    bank = record_trajectories(
        parts.backbone, batch.base, batch.empty, shape, options, generator=torch.Generator().manual_seed(0)
    )
    noise = torch.randn(len(PROMPTS), *shape, generator=torch.Generator().manual_seed(0))
    seen = []

    def keep(_pipeline, _step, _timestep, values):
        seen.append(values["latents"])
        return values

    parts.backbone.pipeline()(
        [prompt.base_text for prompt in PROMPTS],
        latents=noise,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="latent",
        callback_on_step_end=keep,
    )
    torch.testing.assert_close(bank.states_NSCHW[:, 1:], torch.stack(seen[:-1], dim=1), atol=1e-4, rtol=1e-4)


def test_a_map_that_remembers_outlives_a_noisy_step(tiny_folder: Path) -> None:
    parts = parts_of(config_of(tiny_folder, "control_map=sfcm-v2"))
    batch = batch_of(parts)
    state, _ = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(3))
    assert state.reference is not None
    height, width = state.noised.z_t_BCHW.shape[-2:]
    region = torch.zeros(1, 1, height, width)
    region[..., : height // 4, :] = 1
    noise = torch.rand(4, 1, height, width, generator=torch.Generator().manual_seed(0))

    def shown(difference: torch.Tensor, reads: bool = True) -> torch.Tensor:
        response = replace(state.response, pred_BCHW=state.reference.pred_BCHW + difference)
        reading = torch.full((4,), reads)
        return memory(replace(state, response=response, has_target_B=reading))

    memory, forgetful = (
        config_of(tiny_folder, "control_map=sfcm-v2", f"control_map.memory={share}").control_map.build()
        for share in (0.9, 0.0)
    )
    for _ in range(5):
        assert torch.equal(shown(region + 0.1 * noise) > 0.5, (region > 0).expand(4, 1, -1, -1))
    shown(noise, reads=False)
    assert torch.equal(shown(noise) > 0.5, (region > 0).expand(4, 1, -1, -1))
    memory = forgetful
    assert not torch.equal(shown(noise) > 0.5, (region > 0).expand(4, 1, -1, -1))


@pytest.mark.parametrize(
    ("space", "factor"), [("noise", lambda abar: 1 + 0 * abar), ("velocity", lambda abar: 1 / abar)]
)
def test_output_alignment_can_be_weighed_as_velocity(tiny_folder: Path, space: str, factor) -> None:
    settings = (
        "control_map=uniform",
        "losses.output-alignment.weight=1",
        f"losses.output-alignment.space={space}",
    )
    parts = parts_of(config_of(tiny_folder, *settings))
    state, report = dual_path_step(parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(3))
    assert state.reference is not None
    error = (state.response.pred_BCHW - state.reference.pred_BCHW).pow(2).mean((1, 2, 3))
    torch.testing.assert_close(report.raw["output-alignment"], (factor(state.noised.abar_B) * error).mean())
