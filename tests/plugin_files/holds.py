"""A loss that looks at how the trained values are shared among processes."""

from typing import TYPE_CHECKING

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from spf_core.interfaces import StepState, Term


class Holds(LossConfig):
    """Prints which share of the trained values this process holds, and costs nothing."""

    name = "holds"

    def build(self) -> "Term":
        return value


def value(state: "StepState") -> "Tensor":
    from torch.distributed.tensor import DTensor

    parameters = list(state.adapter.parameters())
    sharded = [parameter for parameter in parameters if isinstance(parameter, DTensor)]
    if len(sharded) == len(parameters):
        held = sum(parameter.to_local().numel() for parameter in sharded)
        print(f"holds {held / sum(parameter.numel() for parameter in parameters)}")
    return 0 * state.response.pred_BCHW.sum()


@hookimpl
def spf_register(register: Register) -> None:
    register(Holds)
