"""The region: attention cut by Otsu's threshold."""

import torch
import torch.nn.functional as F
from spf_core.helpers import attention_to
from spf_core.interfaces import StepState
from torch import Tensor


def otsu_threshold(values_BN: Tensor) -> Tensor:
    """The threshold of each row that splits it into the two classes furthest apart, B.

    It maximises n_0 n_1 (mean_0 - mean_1)^2 over all splits of the ranked values (Otsu, 1979), without
    a histogram. A constant row gives its value, so that nothing lies above.
    """
    ranked = values_BN.double().sort(dim=1).values
    count = ranked.shape[1]
    low_N = torch.arange(1, count, device=ranked.device)
    sums = ranked.cumsum(dim=1)
    mean_low = sums[:, :-1] / low_N
    mean_high = (sums[:, -1:] - sums[:, :-1]) / (count - low_N)
    between = low_N * (count - low_N) * (mean_high - mean_low).square()
    split = between.argmax(dim=1, keepdim=True)
    return ((ranked.gather(1, split) + ranked.gather(1, split + 1)) / 2)[:, 0]


def otsu_region(values_B1HW: Tensor, grow: float, feather: float) -> Tensor:
    """1 above each image's own threshold, else 0; grown, then faded at its border. B 1 H W in [0, 1]."""
    threshold_B = otsu_threshold(values_B1HW.flatten(1))
    region = (values_B1HW > threshold_B.view(-1, 1, 1, 1)).float()
    side = max(values_B1HW.shape[-2:])
    region = _grown(region, round(grow * side))
    radius = round(feather * side)
    if radius == 0:
        return region
    # Grown first, so that the fading begins at the border and takes nothing from the inside.
    window = 2 * radius + 1
    return F.avg_pool2d(_grown(region, radius), window, 1, radius, count_include_pad=False).clamp(0, 1)


def _grown(region_B1HW: Tensor, radius: int) -> Tensor:
    return F.max_pool2d(region_B1HW, 2 * radius + 1, stride=1, padding=radius)


class OtsuRegionMap:
    """M = [A[target] > otsu(A[target])], grown and faded, B 1 H W in [0, 1]."""

    def __init__(self, grow: float, feather: float) -> None:
        self.grow, self.feather = grow, feather

    @torch.no_grad()
    def __call__(self, state: StepState) -> Tensor:
        """Return M: 1 where the target may respond, 0 where the reference is kept."""
        attention = attention_to(state, state.response, state.response_text.target_BL)
        return otsu_region(attention, self.grow, self.feather)
