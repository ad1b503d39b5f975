"""How a model's images become noise: the forward process that a backbone was trained on, and its sampler.

A process knows timesteps in the model's own units (`timesteps_B`: whole numbers for DDPM, 1000 sigma for
flow matching). Everybody else speaks of levels: the fraction of the schedule in [0, 1], before the model's
shift, so that equal steps of a level are equal steps of the sampler. What a model predicts is in its own
space: noise eps for DDPM, velocity eps - z_0 for flow matching. For one z_t the clean image is linear in the
prediction, so a difference of two predictions needs only a factor to be read in another space: `weight`.
"""

from typing import Literal, Protocol, TypeVar

import torch
from torch import Tensor

Space = Literal["noise", "velocity", "image"]
Level = TypeVar("Level", float, Tensor)


class Sampler(Protocol):
    """A deterministic sampler of some steps; it keeps no place, so that several batches may share it."""

    timesteps_S: Tensor
    """From noise to image."""

    def step(self, pred_BCHW: Tensor, place: int, z_t_BCHW: Tensor) -> Tensor:
        """The state at `timesteps_S[place + 1]`, after the last the image, from that at `place`."""


class NoiseProcess(Protocol):
    """The forward process, what a model predicts in it, and its sampler."""

    steps: int
    """Timesteps that the model was trained on: a sampler takes no more."""

    def to(self, device: torch.device) -> None:
        """Move what the process computes with to `device`."""

    def timestep_at(self, level: Level) -> Level:
        """The bound of a level: timesteps below it lie below the level, and all of them below that of 1."""

    def level_of(self, timestep: Level) -> Level:
        """The level of a timestep, in [0, 1]."""

    def at(self, level: float, count: int) -> Tensor:
        """`count` times the timestep of one level, B."""

    def draw_timesteps(self, count: int, low: float, high: float, *, generator: torch.Generator) -> Tensor:
        """Draw `count` timesteps whose levels are uniform in [low, high); on the CPU."""

    def noised(self, clean_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """z_t of clean latents and standard normal noise."""

    def expected(
        self,
        clean_BCHW: Tensor,
        noise_BCHW: Tensor,
        timesteps_B: Tensor,
        source_BCHW: Tensor | None = None,
    ) -> Tensor:
        """What a model must predict at z_t to be led to `clean_BCHW`.

        z_t was made from `source_BCHW` where that is given, else from `clean_BCHW`.
        """

    def clean(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """z0_hat: the clean latents that a prediction means."""

    def noise_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The noise eps that a prediction means."""

    def velocity_of(self, z_t_BCHW: Tensor, pred_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The velocity that a prediction means, of the process's own kind."""

    def weight(self, space: Space, timesteps_B: Tensor) -> Tensor:
        """What a squared difference of predictions is multiplied with to be one in `space`, B."""

    def snr(self, timesteps_B: Tensor) -> Tensor:
        """The signal-to-noise ratio, B."""

    def error(self, pred_BCHW: Tensor, expected_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """The mean squared error, B, in the space that the model was trained in."""

    def sampler(self, steps: int) -> Sampler:
        """The sampler of the model's pipeline; ValueError for more than `steps` of the process."""
