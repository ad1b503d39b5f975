"""A plugin in one file: keep the mean colour of the predicted image, outside the control map."""

from typing import Any

from spf_core.plugins import LossConfig, Register, hookimpl


class ColourAlignment(LossConfig):
    """The mean of each latent channel stays as the reference's outside the control map."""

    name = "colour-alignment"
    needs = frozenset({"reference", "map"})

    def build(self) -> Any:
        """Return the function of one step's state."""

        def colour_alignment(state: Any) -> Any:
            difference = state.response.pred_BCHW - state.reference.pred_BCHW
            return ((1 - state.map_B1HW) * difference).mean((2, 3)).pow(2).mean()

        return colour_alignment


@hookimpl
def spf_register(register: Register) -> None:
    """Register the components of this group."""
    register(ColourAlignment)
