"""A tuned model as it is now, beside the one that goes on learning."""

import copy
from collections.abc import Mapping

from torch import Tensor

from spf_core.interfaces import Adapter, Backbone


def snapshot(backbone: Backbone, adapter: Adapter, state: Mapping[str, Tensor] | None = None) -> Backbone:
    """`backbone` with a denoiser of its own, tuned as `adapter` is now or as `state` (its state dict) says.

    Encoders and schedule are shared; the copy is frozen.
    """
    still = copy.copy(backbone)
    still.denoiser, twin = copy.deepcopy((backbone.denoiser, adapter))
    if state is not None:
        twin.load_state_dict(state)
    still.denoiser.requires_grad_(False)
    still.denoiser.zero_grad(set_to_none=True)
    return still
