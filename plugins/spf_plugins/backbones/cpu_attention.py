"""Attention on a CPU, where one kernel is fast forward and another backward."""

from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor


class CpuAttention:
    """The fused kernel, and where gradients are wanted the plain one: the fused one is slow backward."""

    def __init__(self) -> None:
        self._plain, self._fused = AttnProcessor(), AttnProcessor2_0()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """As the two processors do it."""
        processor = self._plain if torch.is_grad_enabled() else self._fused
        mixed: Tensor = processor(*args, **kwargs)
        return mixed
