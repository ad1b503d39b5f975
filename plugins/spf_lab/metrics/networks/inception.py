"""Inception-v3 up to its 2048 pool features, as the Frechet Inception Distance is computed on them.

Tensor names are those of `pt_inception-2015-12-05`, the 2015 TensorFlow graph in torchvision's names. Unlike
torchvision's network, its average pooling leaves the padding out and its last block pools by maximum.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL.Image import Resampling
from torch import Tensor, nn

from spf_lab.metrics.networks.files import filled, read_weights
from spf_lab.metrics.networks.judge import Images, Network, pixels

SIZE = 299
Kernel = int | tuple[int, int]
ACROSS, DOWN = (1, 7), (7, 1)


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, *, padded: bool = True
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if padded else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Features B C H W."""
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches side by side. A branch is a chain of names; a tuple at its end are two heads of it."""

    def __init__(self, branches: Iterable[str], pool: str) -> None:
        super().__init__()
        self.branches, self.pool = [branch.split() for branch in branches], pool

    def forward(self, x: Tensor) -> Tensor:
        """The branches' features one after another."""
        return torch.cat([*(self._run(branch, x) for branch in self.branches), self._pooled(x)], dim=1)

    def _run(self, chain: list[str], x: Tensor) -> Tensor:
        for name in chain:
            heads = [self.get_submodule(part) for part in name.split("+")]
            x = torch.cat([head(x) for head in heads], dim=1)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "reduce":
            return F.max_pool2d(x, 3, 2)
        average = self.pool == "average"
        pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if average else F.max_pool2d(x, 3, 1, 1)
        features: Tensor = self.get_submodule("branch_pool")(pooled)
        return features


class BlockA(Block):
    """35 x 35."""

    def __init__(self, inputs: int, pooled: int) -> None:
        super().__init__(
            ["branch1x1", "branch5x5_1 branch5x5_2", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"],
            "average",
        )
        self.branch1x1 = Conv(inputs, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Conv(inputs, 48, 1), Conv(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 64, 1), Conv(64, 96, 3)
        self.branch3x3dbl_3, self.branch_pool = Conv(96, 96, 3), Conv(inputs, pooled, 1)


class BlockB(Block):
    """35 x 35 to 17 x 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__(["branch3x3", "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3"], "reduce")
        self.branch3x3 = Conv(inputs, 384, 3, 2, padded=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 64, 1), Conv(64, 96, 3)
        self.branch3x3dbl_3 = Conv(96, 96, 3, 2, padded=False)


class BlockC(Block):
    """17 x 17."""

    def __init__(self, inputs: int, width: int) -> None:
        double = [f"branch7x7dbl_{number}" for number in range(1, 6)]
        super().__init__(["branch1x1", "branch7x7_1 branch7x7_2 branch7x7_3", " ".join(double)], "average")
        self.branch1x1, self.branch_pool = Conv(inputs, 192, 1), Conv(inputs, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Conv(inputs, width, 1), Conv(width, width, ACROSS)
        self.branch7x7_3 = Conv(width, 192, DOWN)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Conv(inputs, width, 1), Conv(width, width, DOWN)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Conv(width, width, ACROSS), Conv(width, width, DOWN)
        self.branch7x7dbl_5 = Conv(width, 192, ACROSS)


class BlockD(Block):
    """17 x 17 to 8 x 8."""

    def __init__(self, inputs: int) -> None:
        long = [f"branch7x7x3_{number}" for number in range(1, 5)]
        super().__init__(["branch3x3_1 branch3x3_2", " ".join(long)], "reduce")
        self.branch3x3_1, self.branch3x3_2 = Conv(inputs, 192, 1), Conv(192, 320, 3, 2, padded=False)
        self.branch7x7x3_1, self.branch7x7x3_2 = Conv(inputs, 192, 1), Conv(192, 192, ACROSS)
        self.branch7x7x3_3, self.branch7x7x3_4 = Conv(192, 192, DOWN), Conv(192, 192, 3, 2, padded=False)


class BlockE(Block):
    """8 x 8."""

    def __init__(self, inputs: int, pool: str) -> None:
        double = "branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3a+branch3x3dbl_3b"
        super().__init__(["branch1x1", "branch3x3_1 branch3x3_2a+branch3x3_2b", double], pool)
        self.branch1x1, self.branch_pool = Conv(inputs, 320, 1), Conv(inputs, 192, 1)
        self.branch3x3_1 = Conv(inputs, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(inputs, 448, 1), Conv(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Conv(384, 384, (1, 3)), Conv(384, 384, (3, 1))


class Inception(nn.Module):
    """2048 features of pictures in [-1, 1], 299 x 299."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = (
            Conv(3, 32, 3, 2, padded=False),
            Conv(32, 32, 3, padded=False),
        )
        self.Conv2d_2b_3x3, self.pool_1 = Conv(32, 64, 3), nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Conv(64, 80, 1), Conv(80, 192, 3, padded=False)
        self.pool_2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a, self.Mixed_6b = BlockB(288), BlockC(768, 128)
        self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a, self.Mixed_7b = BlockD(768), BlockE(1280, "average")
        self.Mixed_7c = BlockE(2048, "maximum")

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Features B 2048."""
        for layer in self.children():
            images_B3HW = layer(images_B3HW)
        return images_B3HW.mean(dim=(2, 3))


def load_inception(file: Path) -> Network:
    """Pool features, N 2048; pictures are resized to 299 pixels by PIL, bicubic."""
    module = filled(Inception(), read_weights(file), file)

    def prepare(images: Images) -> Tensor:
        return 2 * pixels(images, SIZE, Resampling.BICUBIC) - 1

    return Network(module, prepare, module)
