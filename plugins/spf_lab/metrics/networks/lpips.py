"""LPIPS (Zhang et al. 2018, arXiv 1801.03924, version 0.1) with its spatial map.

Tensor names are those of the published files: `features.N` of the AlexNet or VGG16 trunk, `linK.model.1` of
the heads.
"""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spf_lab.metrics.networks.files import filled, read_weights

Trunk = Literal["alex", "vgg"]
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_POOL = "pool"
# (in, out, kernel, stride, padding), each followed by ReLU; the heads read after the marked layers
_ALEX = (
    (3, 64, 11, 4, 2), _POOL, (64, 192, 5, 1, 2), _POOL,
    (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1),
)  # fmt: skip
_VGG_WIDTHS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
_TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
_CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


class Lpips(nn.Module):
    """Distance maps of pictures in [-1, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.features = nn.Sequential(*(_alex() if trunk == "alex" else _vgg()))
        self.taps = _TAPS[trunk]
        for number, channels in enumerate(_CHANNELS[trunk]):
            self.add_module(f"lin{number}", _head(channels))
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    def forward(self, first_B3HW: Tensor, second_B3HW: Tensor) -> Tensor:
        """The map B H W: every layer's distances, upsampled and summed. Its mean is close to LPIPS itself."""
        maps = [
            F.interpolate(layer, first_B3HW.shape[-2:], mode="bilinear", align_corners=False)
            for layer in self.layers(first_B3HW, second_B3HW)
        ]
        return torch.stack(maps).sum(dim=0)[:, 0]

    def layers(self, first_B3HW: Tensor, second_B3HW: Tensor) -> list[Tensor]:
        """Weighted squared differences of channel-normalised features: five layers of B 1 h w."""
        pairs = zip(self._tapped(first_B3HW), self._tapped(second_B3HW), strict=True)
        return [
            getattr(self, f"lin{number}")((_normed(one) - _normed(other)).square())
            for number, (one, other) in enumerate(pairs)
        ]

    def _tapped(self, images_B3HW: Tensor) -> list[Tensor]:
        found, x = [], (images_B3HW - self.mean) / self.deviation
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return found


def load_lpips(file: Path, trunk: Trunk) -> Lpips:
    """Read trunk and heads; RunError when a tensor is missing."""
    module = filled(Lpips(trunk), read_weights(file), file)
    assert isinstance(module, Lpips)
    return module


def _normed(features_BCHW: Tensor) -> Tensor:
    return features_BCHW / (features_BCHW.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _head(channels: int) -> nn.ModuleDict:
    return _Head({"model": nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))})


class _Head(nn.ModuleDict):
    def forward(self, squared_BCHW: Tensor) -> Tensor:
        weighted: Tensor = self["model"](squared_BCHW)
        return weighted


def _alex() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for item in _ALEX:
        if isinstance(item, tuple):
            inputs, outputs, kernel, stride, padding = item
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU()]
        else:
            layers.append(nn.MaxPool2d(3, 2))
    return layers


def _vgg() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for number, (inputs, *widths) in enumerate(_VGG_WIDTHS):
        layers += [nn.MaxPool2d(2, 2)] if number else []
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU()]
            inputs = width
    return layers
