"""States of the original model's own sampling."""

from dataclasses import replace
from pathlib import Path

import torch
from steps import PROMPTS, batch_of, config_of, parts_of

from spf_core.config.sections import SampleSection
from spf_core.dual_path.step import dual_path_step
from spf_core.preparation.trajectories import record_trajectories


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
    state, report = dual_path_step(replace(parts, states=bank), batch, 0.9, generator=generator)
    own = ~state.noised.from_data_B
    assert 0 < int(own.sum()) < 4, "the seed is chosen so that the batch is mixed"
    for row in own.nonzero().flatten():
        step = bank.timesteps_S.tolist().index(int(state.noised.timesteps_B[row]))
        recorded = torch.equal(state.noised.z_t_BCHW[row], bank.states_NSCHW[row, step])
        assert recorded == (step > 0), "the first state is fresh noise, the later ones are recorded"
    errors = (state.response.pred_BCHW - state.noised.expected_BCHW).pow(2).mean((1, 2, 3))
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
    drawn = late.draw(torch.arange(4), generator=torch.Generator().manual_seed(1))
    for row in range(4):
        step = late.timesteps_S.tolist().index(int(drawn.timesteps_B[row]))
        assert torch.equal(drawn.states_BCHW[row], late.states_NSCHW[row, step]), (
            "no state is replaced by fresh noise"
        )


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
