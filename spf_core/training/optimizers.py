"""The optimizer that the configuration names, its learning-rate schedule, and what is saved of it."""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import torch
from diffusers.optimization import get_scheduler
from torch import Tensor, nn

from spf_core.errors import PluginError, quoted
from spf_core.plugins.answers import named
from spf_core.plugins.building import built
from spf_core.plugins.configs import OptimizerConfig, label


def make_optimizer(
    options: OptimizerConfig, parameters: Sequence[nn.Parameter], texts: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """The optimizer that `optimizer.name` names; ConfigError when its library is not installed.

    `texts` are those of the parameters that take `optimizer.text_encoder_learning_rate`, where that is set.
    PluginError when that of a plugin raises, or returns what does not train these parameters.
    """
    make = built(options)
    with named(options, "makes no optimizer"), redirect_stdout(io.StringIO()):  # some print their settings
        optimizer = make(_groups(options, parameters, texts))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise PluginError(
            f"what build() of {label(options)} returns makes {quoted(optimizer)}; make a "
            "torch.optim.Optimizer"
        )
    trained = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    if sorted(trained) != sorted(map(id, parameters)):
        raise PluginError(
            f"the optimizer of {label(options)} trains other parameters than it was given; pass the groups "
            "on to torch.optim.Optimizer as they are"
        )
    return optimizer


def _groups(
    options: OptimizerConfig, parameters: Sequence[nn.Parameter], texts: Sequence[nn.Parameter]
) -> list[dict[str, Any]]:
    rate, text_rate = options.learning_rate, options.text_encoder_learning_rate
    if text_rate is None or not texts:
        return [{"params": list(parameters), "lr": rate}]
    apart = {id(parameter) for parameter in texts}
    others = [parameter for parameter in parameters if id(parameter) not in apart]
    return [{"params": others, "lr": rate}, {"params": list(texts), "lr": text_rate}]


def make_schedule(
    options: OptimizerConfig, optimizer: torch.optim.Optimizer, steps: int, planned: int | None = None
) -> Any:
    """The step size over `steps` optimizer steps, by diffusers.

    `optimizer.warmup` is a fraction of the `planned` steps, or else of all.
    """
    with named(options, "takes no schedule"):
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


def state_of(options: OptimizerConfig, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What a checkpoint keeps of the optimizer; PluginError where that of a plugin cannot be written."""
    with named(options, "cannot be saved"):
        state: dict[str, Any] = optimizer.state_dict()
        if options.provided_by:  # spf's own are tested, one of them with states that are written in parts
            _refuse_unwritable(state)
    return state


def _refuse_unwritable(state: Mapping[str, Any]) -> None:
    """PluginError for what is neither a tensor or number of a parameter nor a plain value of a group."""
    for values in state["state"].values():
        for name, value in values.items():
            if not isinstance(value, Tensor | int | float | None):
                raise PluginError(
                    f"it keeps {quoted(value)} as '{name}' of a parameter; keep tensors and numbers there"
                )
    for group in state["param_groups"]:
        for name, value in group.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError):
                raise PluginError(
                    f"it keeps {quoted(value)} as '{name}' of a group; keep plain values there"
                ) from None
