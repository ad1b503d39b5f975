"""A fine-tuned model on its base: W0 + strength * (W - W0), from a single file or a folder."""

from pathlib import Path

from torch import Tensor

from spf_core.interfaces import Backbone
from spf_plugins.adapters.files.whole_weights import changed_weights, model_parts
from spf_plugins.adapters.weights import Weights


class WeightsFile(Weights):
    """The weights of a file in place of the base's; satisfies `interfaces.Adapter` and `Mergeable`.

    Only parameters that differ are kept beside the originals. They are not trained.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def attach(self, backbone: Backbone) -> None:
        """Read the file and show its weights; RunError when it is no model of the base's architecture."""
        parts = model_parts(backbone)
        for key, tensor in changed_weights(self.path, backbone).items():
            part, _, name = key.partition(".")
            parameter = parts[part].get_parameter(name)
            self._parameters[key] = parameter
            self._original[key] = parameter.data
            parameter.data = tensor.to(parameter.device)

    def detach(self) -> None:
        """Show the originals again, for good."""
        self._show(self._original)
        self._parameters.clear()

    def merged(self) -> dict[str, Tensor]:
        """The weights as they stand, W0 + strength * (W - W0)."""
        return {key: parameter.detach().clone() for key, parameter in self._parameters.items()}
