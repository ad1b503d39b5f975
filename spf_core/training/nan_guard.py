"""The check that stops a run before a number that is none reaches its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from spf_core.errors import NonFiniteError
from spf_core.interfaces.types import LossReport
from spf_core.runs.checkpoint import checkpoints

FLOAT16 = "float16 ends at 65504: set train.precision to bf16 or no. "


class Where(NamedTuple):
    """The rows of a step and their timesteps."""

    ids: tuple[str, ...]
    timesteps_B: Tensor


def refuse_non_finite(
    values: Mapping[str, float | Tensor],
    where: Where,
    step: int,
    run: Path,
    *,
    providers: Mapping[str, str],
    precision: str = "no",
) -> None:
    """NonFiniteError names the first value that is none, the rows, their timesteps and the way out.

    `providers` are the plugins that values come from, by the same names.
    """
    for name, value in values.items():
        if not bool(torch.isfinite(torch.as_tensor(value))):
            times = ", ".join(str(int(t)) for t in where.timesteps_B)
            saved = checkpoints(run)
            kept = f"the last good checkpoint is {saved[-1]}" if saved else "no checkpoint was written yet"
            called = name if " " in name else f"'{name}'"
            first = FLOAT16 if precision == "fp16" else ""
            provider = providers.get(name)
            last = f", or report it to its provider, {provider}" if provider else ""
            raise NonFiniteError(
                f"{called} became {float(value)} in step {step + 1} on {', '.join(where.ids)} at t = {times}"
                f"; {kept}. {first}Lower optimizer.learning_rate or the term's weight{last}"
            )


def faulty_gradient(report: LossReport, parameters: Sequence[Tensor], scale: float) -> str | None:
    """The first term whose gradient, times `scale`, is not finite; None when each of them alone is."""
    for name, value in report.weighted.items():
        if value.requires_grad:
            found = torch.autograd.grad(scale * value, parameters, retain_graph=True, allow_unused=True)
            if not all(bool(torch.isfinite(gradient).all()) for gradient in found if gradient is not None):
                return name
    return None
