"""Where rows find states z_t of the original model's own sampling."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from spf_core.interfaces.types import PathOutput


@dataclass(frozen=True)
class Drawn:
    """A state and its timestep for every row of a batch; `output` is theta_0's on it where that is known."""

    states_BCHW: Tensor
    timesteps_B: Tensor
    output: PathOutput | None = None


class States(Protocol):
    """Where rows find a state of the original model's own sampling."""

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> Drawn:
        """One state per row."""
