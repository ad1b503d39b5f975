"""Optimizers and learning-rate schedules by name; a library that is absent is named with its package."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch import nn

from spf_core.config.sections import OptimizerSection
from spf_core.utils.optional_imports import optional


def require_optimizer(options: OptimizerSection) -> None:
    """ConfigError when the optimizer's library is not installed."""
    _maker(options)


def make_optimizer(
    options: OptimizerSection, parameters: Sequence[nn.Parameter], texts: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer that `optimizer.name` names; ConfigError when its library is not installed.

    `texts` are those of the parameters that take `optimizer.text_encoder_learning_rate`, where that is set.
    """
    make, more = _maker(options)
    with redirect_stdout(io.StringIO()):  # prodigy prints its settings
        optimizer: torch.optim.Optimizer = make(
            _groups(options, parameters, texts),
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            **more,
        )
    return optimizer


def _groups(
    options: OptimizerSection, parameters: Sequence[nn.Parameter], texts: Sequence[nn.Parameter]
) -> Any:
    if options.text_encoder_learning_rate is None or not texts:
        return parameters
    apart = {id(parameter) for parameter in texts}
    others = [parameter for parameter in parameters if id(parameter) not in apart]
    return [{"params": others}, {"params": list(texts), "lr": options.text_encoder_learning_rate}]


def make_schedule(
    options: OptimizerSection, optimizer: torch.optim.Optimizer, steps: int, planned: int | None = None
) -> Any:
    """The step size over `steps` optimizer steps, by diffusers.

    `optimizer.warmup` is a fraction of the `planned` steps, or else of all.
    """
    return get_scheduler(
        "constant_with_warmup" if options.schedule == "constant" else options.schedule,
        optimizer,
        step_rules=options.step_rules,
        num_warmup_steps=int(options.warmup * (planned or steps)),
        num_training_steps=steps,
        num_cycles=options.cycles,
        power=options.power,
    )


def restore_schedule(schedule: Any, step: int) -> None:
    """Let the schedule go on after `step`, at the step size that it has there itself.

    What a checkpoint says of the step size is that of the run's length then, which may have changed since.
    """
    rates = [rate * factor(step) for rate, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
    schedule.load_state_dict(
        {**schedule.state_dict(), "last_epoch": step, "_step_count": step + 1, "_last_lr": rates}
    )
    for group, rate in zip(schedule.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def step_size(optimizer: torch.optim.Optimizer) -> float:
    """The step size that the next step takes: for prodigy, the schedule's factor times what it has found."""
    group = optimizer.param_groups[0]
    return float(group["lr"] * group.get("d", 1))


def _maker(options: OptimizerSection) -> tuple[Any, dict[str, Any]]:
    """The class, and what it is given besides step size and weight decay."""
    setting, betas = f"optimizer.name={options.name}", {"betas": options.betas}
    match options.name:
        case "adamw":
            return torch.optim.AdamW, {**betas, "fused": True}
        case "adamw8bit":
            return optional("bitsandbytes", "bitsandbytes", setting).optim.AdamW8bit, betas
        case "adafactor":
            from transformers.optimization import Adafactor

            # Its own step sizes stay off: the schedule gives them, as for the others.
            return Adafactor, {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        case "prodigy":
            # What its authors advise for diffusion models.
            advised = {"use_bias_correction": True, "safeguard_warmup": True}
            return optional("prodigyopt", "prodigyopt", setting).Prodigy, {**betas, **advised}
        case "lion":
            return optional("lion_pytorch", "lion-pytorch", setting).Lion, betas
