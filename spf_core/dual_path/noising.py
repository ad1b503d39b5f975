"""What chance makes of training images in a step: their noise, and which of them lack some of the target."""

import torch
from torch import Tensor

from spf_core.interfaces import NoiseProcess
from spf_core.interfaces.types import Noised, scatter_like

SETTLED = 0.3  # the level below which z_t more and more shows what the picture will be


def noise_latents(
    latents_BCHW: Tensor,
    timesteps_B: Tensor,
    process: NoiseProcess,
    *,
    generator: torch.Generator,
    source_BCHW: Tensor | None = None,
    offset: float = 0.0,
) -> Noised:
    """z_t of z_0 and eps by the model's noise process, with eps drawn from `generator` (on the CPU).

    With `source_BCHW` that is noised in place of z_0; what is expected leads from z_t to z_0 all the same.
    With `offset` o, eps is n_BCHW + o n_BC11 (Guttenberg 2023, "Diffusion with offset noise"): a channel's
    mean is noised too, so that the model learns to change it.
    """
    noise = torch.randn(latents_BCHW.shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn((*latents_BCHW.shape[:2], 1, 1), generator=generator)
    noise, timesteps_B = noise.to(latents_BCHW), timesteps_B.to(latents_BCHW.device)
    z_t = process.noised(latents_BCHW if source_BCHW is None else source_BCHW, noise, timesteps_B)
    expected = process.expected(latents_BCHW, noise, timesteps_B, source_BCHW)
    everywhere = torch.ones(len(z_t), dtype=torch.bool, device=z_t.device)
    return Noised(z_t, expected, timesteps_B, everywhere)


def partly_with_target(
    latents_BCHW: Tensor,
    without_BCHW: Tensor,
    timesteps_B: Tensor,
    process: NoiseProcess,
    between: float,
    *,
    generator: torch.Generator,
) -> Tensor:
    """The mix without + s (z_0 - without): s is uniform in [0, 1] for a share `between` of rows, else 1.

    Towards t = 0 every s goes to 1, since a picture that is nearly clean will not gain the target any more.
    """
    chosen_B = torch.rand(len(timesteps_B), generator=generator) < between
    lacking_B = torch.rand(len(timesteps_B), generator=generator) * chosen_B
    lacking_B = lacking_B * (timesteps_B / process.timestep_at(SETTLED)).clamp(max=1)
    lacking = scatter_like(lacking_B.to(latents_BCHW), latents_BCHW)
    return latents_BCHW + lacking * (without_BCHW - latents_BCHW)


def replace_states(noised: Noised, from_noise_B: Tensor, states_BCHW: Tensor, timesteps_B: Tensor) -> Noised:
    """Put states of the original model's sampling in the rows where `from_noise_B` is true."""
    rows_B111 = scatter_like(from_noise_B, states_BCHW).bool()
    return Noised(
        z_t_BCHW=torch.where(rows_B111, states_BCHW, noised.z_t_BCHW),
        expected_BCHW=torch.where(rows_B111, torch.zeros_like(states_BCHW), noised.expected_BCHW),
        timesteps_B=torch.where(from_noise_B, timesteps_B, noised.timesteps_B),
        from_data_B=noised.from_data_B & ~from_noise_B,
    )
