"""The check that stops a run before a number that is none reaches its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from spf_core.checkpoint import checkpoints
from spf_core.errors import NonFiniteError


class Where(NamedTuple):
    """The rows of a step and their timesteps."""

    ids: tuple[str, ...]
    timesteps_B: Tensor


def refuse_non_finite(values: Mapping[str, float | Tensor], where: Where, step: int, run: Path) -> None:
    """NonFiniteError names the first value that is none, the rows, their timesteps and the way out."""
    for name, value in values.items():
        if not bool(torch.isfinite(torch.as_tensor(value))):
            times = ", ".join(str(int(t)) for t in where.timesteps_B)
            saved = checkpoints(run)
            kept = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint was written yet"
            raise NonFiniteError(
                f"'{name}' became {float(value)} in step {step + 1} on {', '.join(where.ids)} at t = {times}"
                f"; {kept}. Lower optimizer.learning_rate or the term's weight"
            )
