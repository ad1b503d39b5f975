"""ArcFace's IResNet (Deng et al. 2019, arXiv 1801.07698) with the tensor names of its PyTorch files."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from spf_core.errors import RunError
from spf_lab.metrics.networks.files import filled, read_weights

SIZE = 112


class Unit(nn.Module):
    """Residual unit: batch norm, convolution, batch norm, PReLU, convolution, batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2, self.prelu = nn.BatchNorm2d(outputs), nn.PReLU(outputs)
        self.conv2, self.bn3 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Features B C H W."""
        y: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        return y + shortcut


class IResNet(nn.Module):
    """Embeddings of aligned faces, B 3 112 112 in [-1, 1]."""

    def __init__(self, widths: tuple[int, ...], depths: tuple[int, ...], dimensions: int) -> None:
        super().__init__()
        stem, *outputs = widths
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem)
        self.prelu, inputs = nn.PReLU(stem), stem
        for number, (width, depth) in enumerate(zip(outputs, depths, strict=True), start=1):
            units = [
                Unit(inputs if place == 0 else width, width, 2 if place == 0 else 1) for place in range(depth)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*units))
            inputs = width
        self.bn2, side = nn.BatchNorm2d(inputs), SIZE // 2 ** len(depths)
        self.fc, self.features = nn.Linear(inputs * side**2, dimensions), nn.BatchNorm1d(dimensions)

    def forward(self, faces_B3HW: Tensor) -> Tensor:
        """Unit-norm embeddings B D."""
        x = self.prelu(self.bn1(self.conv1(faces_B3HW)))
        for name, layer in self.named_children():
            x = layer(x) if name.startswith("layer") else x
        return F.normalize(self.features(self.fc(self.bn2(x).flatten(1))), dim=-1)


def load_iresnet(file: Path) -> IResNet:
    """The network of the size that the tensors tell; RunError when it is none."""
    weights = read_weights(file)
    module = filled(built(weights, file), weights, file)
    assert isinstance(module, IResNet)
    return module


def built(weights: Mapping[str, Tensor], file: Path) -> IResNet:
    """An empty network of the size that the tensors tell; RunError when they are of another."""
    try:
        widths = (
            len(weights["conv1.weight"]),
            *(len(weights[f"layer{n}.0.conv1.weight"]) for n in range(1, 5)),
        )
        places = [re.match(r"layer(\d)\.(\d+)\.", name) for name in weights]
        units = {(int(found[1]), int(found[2])) for found in places if found}
        depths = tuple(sum(layer == n for layer, _ in units) for n in range(1, 5))
        return IResNet(widths, depths, len(weights["fc.weight"]))
    except KeyError as missing:
        raise RunError(
            f"'{file}' is not an IResNet: it lacks the tensor {missing}; give weights of ArcFace's IResNet"
        ) from None
