"""An adapter that trains the cross-attention of the base model, with a fault of the author's choice."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from spf_core.plugins import AdapterConfig, Register, hookimpl

if TYPE_CHECKING:
    from spf_core.interfaces import Adapter


class Faulty(AdapterConfig):
    """Trains the cross-attention, or fails to."""

    name = "faulty"
    fault: Literal["layer", "disabled", "parameters"] = Field("layer", description="what is wrong with it")

    def build(self) -> "Adapter":
        from spf_plugins.adapters.weights import Weights

        class Adapter(Weights):
            fault = self.fault

            def attach(self, backbone: Any) -> None:
                super().attach(backbone)
                if self.fault == "layer":
                    backbone.denoiser.register_forward_hook(broken_layer)

            def disabled(self) -> Any:
                return iter(()) if self.fault == "disabled" else super().disabled()

            def parameters(self) -> Iterator[Any]:
                return iter(["weight"]) if self.fault == "parameters" else super().parameters()

        return Adapter(cross=True)


def broken_layer(*given: Any) -> None:
    raise ZeroDivisionError("no\nlayers")


@hookimpl
def spf_register(register: Register) -> None:
    register(Faulty)
