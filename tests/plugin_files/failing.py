"""A loss that fails in one of two processes."""

import os
from typing import TYPE_CHECKING

from spf_core.errors import DataError
from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from spf_core.interfaces import StepState, Term


class Failing(LossConfig):
    """Fails in the second process."""

    name = "failing"

    def build(self) -> "Term":
        return self.value

    def value(self, state: "StepState") -> "Tensor":
        if os.environ["RANK"] == "1" and state.progress > 0.4:
            raise DataError("no picture here; bring one")
        return state.response.pred_BCHW.square().mean()


@hookimpl
def spf_register(register: Register) -> None:
    register(Failing)
