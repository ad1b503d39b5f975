"""A loss and a control map from one file."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from spf_core.plugins import ControlMapConfig, LossConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import ControlMap, Term


class Pull(LossConfig):
    """Pulls the prediction towards zero."""

    name = "pull"
    strength: float = Field(0.5, gt=0, le=2, description="how hard")
    mode: Literal["soft", "hard"] = "soft"

    def build(self) -> "Term":
        return lambda state: self.strength * state.response.pred_BCHW.square().mean()


class Everywhere(ControlMapConfig):
    """A map of zeros."""

    name = "everywhere"

    def build(self) -> "ControlMap":
        return lambda state: state.response.pred_BCHW[:, :1] * 0


@hookimpl
def spf_register(register: Register) -> None:
    register(Pull)
    register(Everywhere)
