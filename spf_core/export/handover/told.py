"""When the tuned model takes over, as other programs ask for it: a share of sampling, or a step.

The rule is the sampler's of spf: the base model takes every step whose timestep is at least h T.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

USUAL_STEPS = (20, 30, 50)
_SPREAD = {"timestep_spacing": "linspace"}  # other programs spread a sampler's steps over all timesteps
_SAMPLERS: tuple[tuple[str, Any, Mapping[str, Any]], ...] = (
    ("DDIM", DDIMScheduler, {}),
    ("Euler", EulerDiscreteScheduler, _SPREAD),
    ("Euler, Karras sigmas", EulerDiscreteScheduler, {**_SPREAD, "use_karras_sigmas": True}),
    ("DPM++ 2M", DPMSolverMultistepScheduler, _SPREAD),
    ("DPM++ 2M, Karras sigmas", DPMSolverMultistepScheduler, {**_SPREAD, "use_karras_sigmas": True}),
)


def start_of(handover: float) -> float:
    """The share of the schedule that the base model takes: 0.4 for a handover of 0.6."""
    return round(1 - handover, 6)


def told(handover: float, timesteps: int) -> str:
    """As in `from 40 % of sampling on (t = 600 of 1000)`."""
    percent, t = 100 * start_of(handover), round(handover * timesteps, 3)
    return f"from {percent:.4g} % of sampling on (t = {t:g} of {timesteps})"


def base_steps(scheduler: Any, steps: int, handover: float) -> int:
    """How many of a scheduler's steps the base model takes."""
    scheduler.set_timesteps(steps)
    last = handover * scheduler.config.num_train_timesteps
    return sum(float(t) >= last for t in scheduler.timesteps)


def run_steps(schedule: Mapping[str, Any], steps: int, handover: float) -> int:
    """How many steps of DDIM, the sampler of spf, the base model takes; `schedule` is its configuration."""
    return base_steps(DDIMScheduler.from_config(dict(schedule)), steps, handover)


def table(schedule: Mapping[str, Any], steps: int, handover: float) -> str:
    """A Markdown table: samplers down, numbers of steps across; each cell names the last step of the base.

    `schedule` is the configuration of the base model's DDIM, and `steps` the number of steps of the run.
    """
    counts = sorted({steps, *USUAL_STEPS})
    lines = [_row(["sampler", *(f"{count} steps" for count in counts)]), _row(["---"] * (1 + len(counts)))]
    for name, kind, options in _SAMPLERS:
        made = kind.from_config(dict(schedule), **options)
        lines.append(_row([name, *(_cell(base_steps(made, count, handover)) for count in counts)]))
    return "\n".join(lines) + "\n"


def _cell(taken: int) -> str:
    return f"after step {taken}" if taken else "from step 1 on"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
