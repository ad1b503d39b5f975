"""An optimizer for spf. spf imports this module at every start, so it is free of torch."""

import math
from typing import TYPE_CHECKING

from pydantic import Field
from spf_core.plugins import OptimizerConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import MakesOptimizer


class NewThing(OptimizerConfig):
    """Steps by the sign of an average of the gradients."""

    # Learning rate, weight decay, schedule and clipping are options of every optimizer.
    name = "new-thing"
    momentum: float = Field(0.9, ge=0, lt=1, description="Decay rate of the average.")

    def build(self) -> "MakesOptimizer":
        """Return what makes the optimizer of the trained parameters."""
        from functools import partial

        from spf_cli.templates.optimizer.optimizer import NewThingOptimizer

        return partial(
            NewThingOptimizer,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
        )

    def state_bytes(self, shape: tuple[int, ...]) -> int:
        """Return what it keeps of a tensor of this shape: one float32 average for each value."""
        return 4 * math.prod(shape)


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this package."""
    register(NewThing)
