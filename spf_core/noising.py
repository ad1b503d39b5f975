"""The forward process of the diffusion, shared by both paths."""

import torch
from torch import Tensor

from spf_core.types import Noised, scatter_like


def draw_timesteps(
    count: int, schedule_steps: int, low: float, high: float, *, generator: torch.Generator
) -> Tensor:
    """Draw `count` timesteps uniformly from [low, high) of the schedule (fractions)."""
    first = int(low * schedule_steps)
    last = max(first + 1, int(high * schedule_steps))
    return torch.randint(first, last, (count,), generator=generator)


def noise_latents(
    latents_BCHW: Tensor, timesteps_B: Tensor, abar_T: Tensor, *, generator: torch.Generator
) -> Noised:
    """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps with eps drawn from `generator` (on the CPU)."""
    noise = torch.randn(latents_BCHW.shape, generator=generator).to(latents_BCHW)
    abar_B = abar_T.to(latents_BCHW.device)[timesteps_B.to(latents_BCHW.device)]
    abar = scatter_like(abar_B, latents_BCHW)
    z_t = abar.sqrt() * latents_BCHW + (1 - abar).sqrt() * noise
    everywhere = torch.ones(len(z_t), dtype=torch.bool, device=z_t.device)
    return Noised(z_t, noise, timesteps_B.to(latents_BCHW.device), abar_B, everywhere)


def replace_states(
    noised: Noised, from_noise_B: Tensor, states_BCHW: Tensor, timesteps_B: Tensor, abar_T: Tensor
) -> Noised:
    """Put states of the original model's sampling in the rows where `from_noise_B` is true."""
    rows_B111 = scatter_like(from_noise_B, states_BCHW).bool()
    timesteps = torch.where(from_noise_B, timesteps_B, noised.timesteps_B)
    return Noised(
        z_t_BCHW=torch.where(rows_B111, states_BCHW, noised.z_t_BCHW),
        noise_BCHW=torch.where(rows_B111, torch.zeros_like(states_BCHW), noised.noise_BCHW),
        timesteps_B=timesteps,
        abar_B=abar_T.to(timesteps.device)[timesteps],
        from_data_B=noised.from_data_B & ~from_noise_B,
    )


def clean_estimate(z_t_BCHW: Tensor, pred_BCHW: Tensor, abar_B: Tensor) -> Tensor:
    """z0_hat = (z_t - sqrt(1 - abar_t) eps) / sqrt(abar_t)."""
    abar = scatter_like(abar_B, z_t_BCHW)
    return (z_t_BCHW - (1 - abar).sqrt() * pred_BCHW) / abar.sqrt()
