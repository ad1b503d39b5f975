"""Control maps, and the weights that terms give to positions and timesteps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from steps import abar_of, batch_of, config_of, parts_of, run

from spf_core.dual_path.step import dual_path_step


@pytest.mark.parametrize("name", ["sfcm-v1", "sfcm-v2", "sfcm-counterfactual", "uniform", "target-attention"])
def test_every_control_map_lies_between_zero_and_one_and_carries_no_gradient(
    tiny_folder: Path, name: str
) -> None:
    config = config_of(tiny_folder, f"control_map={name}", "counterfactuals.enabled=true")
    parts = parts_of(config)
    batch = replace(batch_of(parts), region_B1HW=torch.rand(4, 1, 8, 8))
    state, _ = dual_path_step(parts, batch, 0.9, generator=torch.Generator().manual_seed(0))
    assert state.map_B1HW is not None
    assert state.map_B1HW.shape == (4, 1, 8, 8)
    assert state.map_B1HW.min() >= 0
    assert state.map_B1HW.max() <= 1
    assert not state.map_B1HW.requires_grad


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
    error = (state.response.pred_BCHW - state.noised.expected_BCHW).pow(2)
    expected = (error.mean((1, 2, 3)) * weight(abar_of(state))).mean()
    torch.testing.assert_close(report.raw["region-denoising"], expected)


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
    torch.testing.assert_close(report.raw["output-alignment"], (factor(abar_of(state)) * error).mean())
