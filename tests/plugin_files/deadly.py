"""A loss that kills the process, once."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from spf_core.interfaces import StepState, Term


class Deadly(LossConfig):
    """Kills the process in the fourth of all steps, which the file `count` counts."""

    name = "deadly"
    count: Path

    def build(self) -> "Term":
        return self.value

    def value(self, state: "StepState") -> "Tensor":
        steps = len(self.count.read_text()) + 1 if self.count.exists() else 1
        self.count.write_text("." * steps)
        if steps == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0 * state.response.pred_BCHW.mean()


@hookimpl
def spf_register(register: Register) -> None:
    register(Deadly)
