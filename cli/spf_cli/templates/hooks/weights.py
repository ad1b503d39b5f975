"""What is measured of the adapter."""

import torch
from spf_core.interfaces import Adapter


@torch.no_grad()
def largest_weight(adapter: Adapter) -> float:
    """The largest absolute value among the adapter's tensors."""
    return max(float(tensor.abs().amax()) for tensor in adapter.state_dict().values())
