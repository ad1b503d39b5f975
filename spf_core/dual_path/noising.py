"""The forward process of the diffusion, shared by both paths."""

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces.types import Noised, scatter_like

SETTLED = 0.3  # fraction of the schedule below which z_t more and more shows what the picture will be


def draw_timesteps(
    count: int, schedule_steps: int, low: float, high: float, *, generator: torch.Generator
) -> Tensor:
    """Draw `count` timesteps uniformly from [low, high) of the schedule (fractions)."""
    first = int(low * schedule_steps)
    last = max(first + 1, int(high * schedule_steps))
    return torch.randint(first, last, (count,), generator=generator)


def noise_latents(
    latents_BCHW: Tensor,
    timesteps_B: Tensor,
    abar_T: Tensor,
    *,
    generator: torch.Generator,
    source_BCHW: Tensor | None = None,
    offset: float = 0.0,
) -> Noised:
    """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps with eps drawn from `generator` (on the CPU).

    With `source_BCHW` that is noised in place of z_0, and eps becomes the noise that leads from z_t to z_0.
    With `offset` o, eps is n_BCHW + o n_BC11 (Guttenberg 2023, "Diffusion with offset noise"): a channel's
    mean is noised too, so that the model learns to change it.
    """
    noise = torch.randn(latents_BCHW.shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn((*latents_BCHW.shape[:2], 1, 1), generator=generator)
    noise = noise.to(latents_BCHW)
    seen = latents_BCHW if source_BCHW is None else source_BCHW
    abar_B = abar_T.to(seen.device)[timesteps_B.to(seen.device)]
    abar = scatter_like(abar_B, seen)
    z_t = abar.sqrt() * seen + (1 - abar).sqrt() * noise
    if source_BCHW is not None:
        noise = noise + (abar / (1 - abar)).sqrt() * (source_BCHW - latents_BCHW)
    everywhere = torch.ones(len(z_t), dtype=torch.bool, device=z_t.device)
    return Noised(z_t, noise, timesteps_B.to(z_t.device), abar_B, everywhere)


def partly_with_target(
    latents_BCHW: Tensor,
    without_BCHW: Tensor,
    timesteps_B: Tensor,
    schedule_steps: int,
    between: float,
    *,
    generator: torch.Generator,
) -> Tensor:
    """The mix without + s (z_0 - without): s is uniform in [0, 1] for a share `between` of rows, else 1.

    Towards t = 0 every s goes to 1, since a picture that is nearly clean will not gain the target any more.
    """
    chosen_B = torch.rand(len(timesteps_B), generator=generator) < between
    lacking_B = torch.rand(len(timesteps_B), generator=generator) * chosen_B
    lacking_B = lacking_B * (timesteps_B / (SETTLED * schedule_steps)).clamp(max=1)
    lacking = scatter_like(lacking_B.to(latents_BCHW), latents_BCHW)
    return latents_BCHW + lacking * (without_BCHW - latents_BCHW)


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


def plain_error(pred_BCHW: Tensor, noise_BCHW: Tensor, abar_B: Tensor, prediction_type: str) -> Tensor:
    """The mean squared error of what a model was trained to predict, noise or velocity, B.

    Backbones return eps throughout. For the same z_t a squared difference in v is one in eps over abar.
    """
    error_B = F.mse_loss(pred_BCHW, noise_BCHW, reduction="none").mean((1, 2, 3))
    return error_B / abar_B if prediction_type == "v_prediction" else error_B
