"""The mathematics of the reward."""

from collections.abc import Sequence

from spf_core.interfaces import Backbone, Prompt
from torch import Tensor


class NewThingReward:
    """scale mean_HW std_RGB(x): how far the channels of a pixel lie apart."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, backbone: Backbone, images_B3HW: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Return B rewards of pixels in [-1, 1], differentiable; higher is better."""
        variance_BHW = images_B3HW.var(1, unbiased=False)
        return self.scale * (variance_BHW + 1e-6).sqrt().mean((1, 2))
