"""A loss from a file; the lines with a comment on other values are those that the fuzzer replaces."""

from typing import TYPE_CHECKING

from spf_core.plugins import LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Term

TOP = 1  # or anything else that a module can do


class Pull(LossConfig):
    """Pulls the prediction towards zero."""

    name = "pull"  # or another name
    strength: float = 0.5  # or another option
    needs = frozenset()  # or other needs

    def build(self) -> "Term":
        scale = self.strength  # or a failure
        return lambda state: scale * state.response.pred_BCHW.square().mean()  # or something else


@hookimpl
def spf_register(register: Register) -> None:
    register(Pull)  # or something else
