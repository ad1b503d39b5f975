"""Checking saved adapter tensors against the parameters they are meant for."""

from collections.abc import Mapping

import torch
from torch import Tensor

from spf_core.errors import RunError

_WAY_OUT = "use the backbone and adapter options that the weights were trained with"


def load_into(parameters: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy `state` into `parameters`; RunError names the first missing, surplus or misshapen tensor."""
    for name, parameter in parameters.items():
        if name not in state:
            raise RunError(f"the adapter weights lack the tensor '{name}'; {_WAY_OUT}")
        if state[name].shape != parameter.shape:
            saved, wanted = list(state[name].shape), list(parameter.shape)
            raise RunError(f"the adapter tensor '{name}' has shape {saved} instead of {wanted}; {_WAY_OUT}")
    for name in state:
        if name not in parameters:
            raise RunError(f"the adapter weights hold the unknown tensor '{name}'; {_WAY_OUT}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(state[name])
