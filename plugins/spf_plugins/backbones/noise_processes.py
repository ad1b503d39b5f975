"""DDPM's noise process and that of flow matching; both satisfy `interfaces.NoiseProcess`.

They belong to the backbones: the schedule is part of a model, read from its folder, and the engine computes
with no formula of its own.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces.noise import Level, Space
from spf_core.interfaces.types import scatter_like

LEAST_ABAR = 1e-6  # schedules of zero terminal SNR end at 0, where z0_hat would divide by it
LARGEST_SIGMA = 1 - 1e-3  # at 1 nothing of the image is left: SNR and factors between spaces would be 0


def _squared_error(pred_BCHW: Tensor, expected_BCHW: Tensor) -> Tensor:
    """Mean over channels and positions, B."""
    return F.mse_loss(pred_BCHW, expected_BCHW, reduction="none").mean((1, 2, 3))


class DDPMNoise:
    """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps, with T whole timesteps (Ho et al. 2020, 2006.11239).

    Predictions are eps, also those of models that were trained on v = sqrt(abar) eps - sqrt(1 - abar) z_0
    (Salimans and Ho 2022, arXiv 2202.00512): `eps_from_v` converts them.
    """

    def __init__(self, scheduler: Any) -> None:
        """Read a DDIMScheduler: `alphas_cumprod`, the spacing of timesteps, and what the model predicts."""
        self._scheduler = scheduler
        self.trained_on_v: bool = scheduler.config.prediction_type == "v_prediction"
        self.abar_T: Tensor = scheduler.alphas_cumprod.float().clamp(min=LEAST_ABAR)
        self.steps = len(self.abar_T)

    def to(self, device: torch.device) -> None:
        """Move the schedule to `device`."""
        self.abar_T = self.abar_T.to(device)

    def timestep_at(self, level: Level) -> Level:
        """Level times T."""
        return level * self.steps

    def level_of(self, timestep: Level) -> Level:
        """The timestep over T."""
        return timestep / self.steps

    def at(self, level: float, count: int) -> Tensor:
        """The whole timestep at or below the level, B."""
        return torch.full((count,), min(int(level * self.steps), self.steps - 1))

    def draw_timesteps(self, count: int, low: float, high: float, *, generator: torch.Generator) -> Tensor:
        """Draw `count` timesteps uniformly from [low T, high T)."""
        first = int(low * self.steps)
        last = max(first + 1, int(high * self.steps))
        return torch.randint(first, last, (count,), generator=generator)

    def abar(self, timesteps_B: Tensor) -> Tensor:
        """abar_t, B."""
        return self.abar_T.to(timesteps_B.device)[timesteps_B]

    def noised(self, clean_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps."""
        abar = scatter_like(self.abar(timesteps_B), clean_BCHW)
        return abar.sqrt() * clean_BCHW + (1 - abar).sqrt() * noise_BCHW

    def expected(
        self,
        clean_BCHW: Tensor,
        noise_BCHW: Tensor,
        timesteps_B: Tensor,
        source_BCHW: Tensor | None = None,
    ) -> Tensor:
        """The noise eps or, from another source s, eps + sqrt(abar / (1 - abar)) (s - z_0)."""
        if source_BCHW is None:
            return noise_BCHW
        abar = scatter_like(self.abar(timesteps_B), clean_BCHW)
        return noise_BCHW + (abar / (1 - abar)).sqrt() * (source_BCHW - clean_BCHW)

    def clean(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """z0_hat = (z_t - sqrt(1 - abar_t) eps) / sqrt(abar_t)."""
        abar = scatter_like(self.abar(timesteps_B), z_t_BCHW)
        return (z_t_BCHW - (1 - abar).sqrt() * pred_BCHW) / abar.sqrt()

    def noise_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The prediction itself."""
        return pred_BCHW

    def velocity_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Velocity v = sqrt(abar) eps - sqrt(1 - abar) z0_hat = (eps - sqrt(1 - abar) z_t) / sqrt(abar)."""
        abar = scatter_like(self.abar(timesteps_B), z_t_BCHW)
        return (pred_BCHW - (1 - abar).sqrt() * z_t_BCHW) / abar.sqrt()

    def eps_from_v(self, v_BCHW: Tensor, z_t_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Noise eps = sqrt(abar) v + sqrt(1 - abar) z_t."""
        abar = scatter_like(self.abar(timesteps_B), v_BCHW)
        return abar.sqrt() * v_BCHW + (1 - abar).sqrt() * z_t_BCHW

    def weight(self, space: Space, timesteps_B: Tensor) -> Tensor:
        """1 for noise, 1 / abar for velocity, (1 - abar) / abar for the image, B.

        For the same z_t a difference in eps is one of 1 / sqrt(abar) times that size in v, and of
        sqrt((1 - abar) / abar) times that size in the clean image.
        """
        abar_B = self.abar(timesteps_B)
        return {"noise": torch.ones_like(abar_B), "velocity": 1 / abar_B, "image": (1 - abar_B) / abar_B}[
            space
        ]

    def snr(self, timesteps_B: Tensor) -> Tensor:
        """The ratio abar / (1 - abar), B."""
        abar_B = self.abar(timesteps_B)
        return abar_B / (1 - abar_B)

    def error(self, pred_BCHW: Tensor, expected_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The mean squared error in eps, of models that were trained on v in v: that in eps over abar, B."""
        error_B = _squared_error(pred_BCHW, expected_BCHW)
        return error_B / self.abar(timesteps_B) if self.trained_on_v else error_B

    def sampler(self, steps: int) -> "DDIMSampler":
        """DDIM, as the pipeline has it."""
        return DDIMSampler(self, copy.copy(self._scheduler), steps)


class DDIMSampler:
    """diffusers' DDIM on predictions of eps; satisfies `interfaces.Sampler`."""

    def __init__(self, process: DDPMNoise, scheduler: Any, steps: int) -> None:
        scheduler.set_timesteps(steps)
        self._process, self._scheduler = process, scheduler
        self.timesteps_S: Tensor = scheduler.timesteps.to(process.abar_T.device)

    def step(self, pred_BCHW: Tensor, place: int, z_t_BCHW: Tensor) -> Tensor:
        """The state at the next timestep."""
        t = self.timesteps_S[place]
        if self._process.trained_on_v:  # the scheduler then takes its model's own prediction
            pred_BCHW = self._process.velocity_of(z_t_BCHW, pred_BCHW, t.expand(len(z_t_BCHW)))
        found: Tensor = self._scheduler.step(pred_BCHW, t, z_t_BCHW).prev_sample
        return found


class FlowNoise:
    """z_t = (1 - sigma) z_0 + sigma eps; predictions are the velocity u = eps - z_0.

    Rectified flow (Liu et al. 2022, arXiv 2209.03003) with the shift of Esser et al. 2024 (arXiv 2403.03206,
    eq. 23): sigma = s l / (1 + (s - 1) l) at the level l. A timestep is `steps` times sigma, as the model
    reads it. In every formula sigma is at most 1 - 1e-3; the model itself reads the timestep as it is.
    """

    def __init__(self, scheduler: Any) -> None:
        """Read a FlowMatchEulerDiscreteScheduler without dynamic shifting."""
        self._scheduler = copy.deepcopy(scheduler)
        self.steps = int(scheduler.config.num_train_timesteps)
        self.shift = float(scheduler.shift)
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> None:
        """Let samplers have their timesteps on `device`."""
        self.device = device

    def timestep_at(self, level: Level) -> Level:
        """The timestep of the level, and a thousandth: the timestep of level 1, pure noise, lies below it."""
        return self.steps * self._shifted(level) + 1e-3

    def level_of(self, timestep: Level) -> Level:
        """The level before the shift."""
        sigma = timestep / self.steps
        return sigma / (self.shift - (self.shift - 1) * sigma)

    def at(self, level: float, count: int) -> Tensor:
        """The timestep of the level, B."""
        return torch.full((count,), self.steps * min(self._shifted(level), LARGEST_SIGMA))

    def draw_timesteps(self, count: int, low: float, high: float, *, generator: torch.Generator) -> Tensor:
        """Draw `count` timesteps, uniform in the level and then shifted, as the sampler visits them."""
        level_B = low + (high - low) * torch.rand(count, generator=generator)
        # A sigma of 0 is an image without noise, where nothing is left to predict.
        return self.steps * self._shifted(level_B).clamp(1 - LARGEST_SIGMA, LARGEST_SIGMA)

    def sigma(self, timesteps_B: Tensor) -> Tensor:
        """Sigma in [0, 1 - 1e-3], B."""
        return (timesteps_B / self.steps).clamp(max=LARGEST_SIGMA)

    def noised(self, clean_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """(1 - sigma) z_0 + sigma eps."""
        sigma = scatter_like(self.sigma(timesteps_B), clean_BCHW)
        return (1 - sigma) * clean_BCHW + sigma * noise_BCHW

    def expected(
        self,
        clean_BCHW: Tensor,
        noise_BCHW: Tensor,
        timesteps_B: Tensor,
        source_BCHW: Tensor | None = None,
    ) -> Tensor:
        """The velocity (z_t - z_0) / sigma = eps - z_0 + (1 / sigma - 1) (s - z_0); by default s = z_0."""
        velocity = noise_BCHW - clean_BCHW
        if source_BCHW is None:
            return velocity
        sigma = scatter_like(self.sigma(timesteps_B), clean_BCHW)
        return velocity + (1 / sigma - 1) * (source_BCHW - clean_BCHW)

    def clean(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """z0_hat = z_t - sigma u."""
        return z_t_BCHW - scatter_like(self.sigma(timesteps_B), z_t_BCHW) * pred_BCHW

    def noise_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Noise eps = z_t + (1 - sigma) u."""
        return z_t_BCHW + (1 - scatter_like(self.sigma(timesteps_B), z_t_BCHW)) * pred_BCHW

    def velocity_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The prediction itself."""
        return pred_BCHW

    def weight(self, space: Space, timesteps_B: Tensor) -> Tensor:
        """(1 - sigma)^2 for noise, 1 for velocity, sigma^2 for the image, B.

        A squared difference in eps thus counts 1 / (1 - sigma)^2 in velocity.
        """
        sigma_B = self.sigma(timesteps_B)
        return {"noise": (1 - sigma_B) ** 2, "velocity": torch.ones_like(sigma_B), "image": sigma_B**2}[space]

    def snr(self, timesteps_B: Tensor) -> Tensor:
        """((1 - sigma) / sigma)^2, B."""
        sigma_B = self.sigma(timesteps_B)
        return ((1 - sigma_B) / sigma_B) ** 2

    def error(self, pred_BCHW: Tensor, expected_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The mean squared error in velocity, B."""
        return _squared_error(pred_BCHW, expected_BCHW)

    def sampler(self, steps: int) -> "EulerSampler":
        """Euler steps, as the pipeline makes them."""
        scheduler = copy.copy(self._scheduler)
        scheduler.set_timesteps(steps)
        return EulerSampler(scheduler.timesteps.to(self.device), scheduler.sigmas.to(self.device))

    def _shifted(self, level: Level) -> Level:
        return self.shift * level / (1 + (self.shift - 1) * level)


class EulerSampler:
    """z_next = z_t + (sigma_next - sigma) u; satisfies `interfaces.Sampler`."""

    def __init__(self, timesteps_S: Tensor, sigmas: Tensor) -> None:
        """`sigmas` has one more element than there are timesteps: 0 at the end."""
        self.timesteps_S, self._sigmas = timesteps_S, sigmas

    def step(self, pred_BCHW: Tensor, place: int, z_t_BCHW: Tensor) -> Tensor:
        """The state at the next timestep."""
        return z_t_BCHW + (self._sigmas[place + 1] - self._sigmas[place]) * pred_BCHW
