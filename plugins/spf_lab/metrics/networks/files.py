"""Networks of this project's own code from one safetensors file with upstream's names."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from spf_core.errors import RunError
from spf_core.runs.checkpoint import read_safetensors


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, floats as float32."""
    tensors, _ = read_safetensors(file)
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }


def filled(module: nn.Module, weights: Mapping[str, Tensor], file: Path) -> nn.Module:
    """The module with its weights, frozen, in evaluation mode; tensors it does not know are left out.

    RunError when one is missing or has another shape.
    """
    for name, wanted in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in weights:
            raise RunError(f"'{file}' lacks the tensor '{name}'; convert upstream's file again")
        if weights[name].shape != wanted.shape:
            found, needed = tuple(weights[name].shape), tuple(wanted.shape)
            raise RunError(
                f"'{file}': tensor '{name}' has shape {found}, not {needed}; convert upstream's file again"
            )
    module.load_state_dict(
        {name: weights[name] for name in module.state_dict() if name in weights}, strict=False
    )
    return module.float().eval().requires_grad_(False)
