"""The mathematics of the optimizer."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class NewThingOptimizer(Optimizer):
    """m = momentum m + (1 - momentum) g; w = w - lr (sign(m) + weight_decay w)."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, weight_decay: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        # What is in self.state, and what a group holds, is saved with every checkpoint.
        state = self.state[parameter]
        if not state:
            state["average"] = torch.zeros_like(parameter)
        average = state["average"].lerp_(parameter.grad, 1 - group["momentum"])
        # The schedule changes group["lr"], so it is read in every step.
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(average.sign(), alpha=-group["lr"])
