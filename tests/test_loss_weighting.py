"""Weights over t and offset noise, against their defining formulas."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from steps import abar_of, batch_of, config_of, parts_of

from spf_core.dual_path.noising import noise_latents
from spf_core.dual_path.step import dual_path_step
from spf_core.errors import ConfigError
from spf_plugins.backbones.noise_processes import DDPMNoise
from spf_plugins.losses.denoising import min_snr_weight

ABAR = torch.tensor([0.2, 0.5, 0.8, 0.9])  # SNR 0.25, 1, 4, 9
GAMMA = 2.0
EVERY = torch.arange(4)
LOW = 0.01  # below the SNR of most timesteps that a step draws


def process_of(abar_T: torch.Tensor) -> DDPMNoise:
    """The noise process of a schedule."""
    config = SimpleNamespace(prediction_type="epsilon")
    return DDPMNoise(SimpleNamespace(alphas_cumprod=abar_T, config=config))


def test_min_snr_is_the_papers_weight_of_eps() -> None:
    torch.testing.assert_close(
        min_snr_weight(process_of(ABAR), EVERY, GAMMA), torch.tensor([1.0, 1.0, 0.5, 2 / 9])
    )


def test_min_snr_of_eps_is_the_papers_weight_of_v() -> None:
    """(min(SNR, gamma) / (SNR + 1)) |v - v'|^2 for the v that belongs to eps and z_t."""
    generator = torch.Generator().manual_seed(0)
    z_t, eps, other = torch.randn(3, 4, 16, dtype=torch.float64, generator=generator)
    abar = ABAR.double()[:, None]

    def v_of(noise: torch.Tensor) -> torch.Tensor:
        clean = (z_t - (1 - abar).sqrt() * noise) / abar.sqrt()
        return abar.sqrt() * noise - (1 - abar).sqrt() * clean

    snr = ABAR.double() / (1 - ABAR.double())
    of_v = snr.clamp(max=GAMMA) / (snr + 1) * (v_of(eps) - v_of(other)).pow(2).mean(1)
    of_eps = min_snr_weight(process_of(ABAR), EVERY, GAMMA).double() * (eps - other).pow(2).mean(1)
    torch.testing.assert_close(of_eps, of_v)


def test_min_snr_is_finite_where_nothing_but_noise_is_left_or_none() -> None:
    ends = process_of(torch.tensor([0.0, 1.0]))
    found = min_snr_weight(ends, torch.tensor([0, 1]), 5.0)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("loss", ["denoising", "region-denoising"])
def test_the_denoising_terms_weigh_each_row_by_its_snr(loss: str, tiny_folder: Path) -> None:
    only = [f"losses.{name}=false" for name in ("denoising", "text-consistency", "fine-grained")]
    values = {}
    for gamma in (None, LOW):
        options = {} if gamma is None else {"min_snr_gamma": gamma}
        settings = (*only, "response=null", f"losses.{loss}={options}", "control_map=sfcm-v1")
        parts = parts_of(config_of(tiny_folder, *settings, preset="spf-paper"))
        state, report = dual_path_step(
            parts, batch_of(parts), 0.9, generator=torch.Generator().manual_seed(0)
        )
        values[gamma] = state, report.raw[loss].detach()
    state, weighted = values[LOW]
    error = (state.response.pred_BCHW - state.noised.expected_BCHW).pow(2).detach()
    if loss == "region-denoising":
        share = state.map_B1HW / state.map_B1HW.mean((1, 2, 3), keepdim=True).clamp(min=1e-3)
        error = error * share
    snr = abar_of(state) / (1 - abar_of(state))
    expected = (snr.clamp(max=LOW) / snr * error.mean((1, 2, 3))).mean()
    torch.testing.assert_close(weighted, expected, rtol=1e-4, atol=1e-6)
    assert weighted < values[None][1]


def test_two_weightings_of_t_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="space=image and min_snr_gamma=5 both weigh t"):
        config_of(tiny_folder, "losses.region-denoising={space: image, min_snr_gamma: 5}", preset="spf")


def test_offset_noise_moves_each_channel_as_a_whole() -> None:
    latents, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([10, 500])
    abar = torch.linspace(0.999, 0.01, 1000)

    def noised(offset: float):
        generator = torch.Generator().manual_seed(0)
        return noise_latents(latents, timesteps, process_of(abar), generator=generator, offset=offset)

    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(latents.shape, generator=generator)
    whole = torch.randn(2, 4, 1, 1, generator=generator)
    assert torch.equal(noised(0.0).expected_BCHW, plain)
    found = noised(0.1)
    torch.testing.assert_close(found.expected_BCHW, plain + 0.1 * whole)
    level = abar[timesteps].view(-1, 1, 1, 1)
    torch.testing.assert_close(
        found.z_t_BCHW, level.sqrt() * latents + (1 - level).sqrt() * found.expected_BCHW
    )


def test_a_run_asks_for_offset_noise(tiny_folder: Path) -> None:
    spread = []
    for offset in (0.0, 3.0):
        parts = parts_of(config_of(tiny_folder, f"train.noise_offset={offset}"))
        state, _ = dual_path_step(parts, batch_of(parts), 0.0, generator=torch.Generator().manual_seed(0))
        spread.append(state.noised.expected_BCHW.mean((2, 3)).std())
    assert spread[1] > 5 * spread[0]
