"""The judge networks: small convolutional nets for 64-pixel portraits, inputs float B3HW in [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESOLUTION = 64


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, group norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.SiLU(inplace=True)
    )


def resize(images_B3HW: Tensor) -> Tensor:
    """Images at the judges' resolution, in [-1, 1]."""
    if images_B3HW.shape[-2:] != (RESOLUTION, RESOLUTION):
        images_B3HW = F.interpolate(images_B3HW, (RESOLUTION, RESOLUTION), mode="bilinear", antialias=True)
    return images_B3HW * 2 - 1


class Trunk(nn.Sequential):
    """B3HW to 256 features."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(
            block(3, width, 2),
            block(width, width),
            block(width, 2 * width, 2),
            block(2 * width, 2 * width),
            block(2 * width, 3 * width, 2),
            block(3 * width, 4 * width, 2),
            nn.Flatten(),
            nn.Linear(4 * width * (RESOLUTION // 16) ** 2, 256),
            nn.SiLU(),
        )


class Probe(nn.Module):
    """One classifier a label over a shared trunk."""

    def __init__(self, classes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(options)) for name, options in classes.items()})

    def forward(self, images_B3HW: Tensor) -> dict[str, Tensor]:
        """Logits by label: (B, classes)."""
        features = self.trunk(resize(images_B3HW))
        return {name: head(features) for name, head in self.heads.items()}

    def features(self, images_B3HW: Tensor) -> Tensor:
        """Activations (B, 96, 8, 8) after the trunk's last block but one."""
        activations = resize(images_B3HW)
        for layer in list(self.trunk)[:5]:
            activations = layer(activations)
        return activations


class Segmenter(nn.Module):
    """A U-Net with three scales."""

    def __init__(self, parts: int, width: int = 24) -> None:
        super().__init__()
        self.fine = nn.Sequential(block(3, width), block(width, width))
        self.middle = nn.Sequential(block(width, 2 * width, 2), block(2 * width, 2 * width))
        self.coarse = nn.Sequential(
            block(2 * width, 4 * width, 2), block(4 * width, 4 * width, 2), block(4 * width, 4 * width)
        )
        self.up_middle = block(6 * width, 2 * width)
        self.up_fine = block(3 * width, width)
        self.head = nn.Conv2d(width, parts, 1)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits (B, parts, 64, 64)."""
        fine = self.fine(resize(images_B3HW))
        middle = self.middle(fine)
        coarse = F.interpolate(self.coarse(middle), scale_factor=4.0, mode="bilinear")
        middle = self.up_middle(torch.cat([coarse, middle], dim=1))
        middle = F.interpolate(middle, scale_factor=2.0, mode="bilinear")
        logits: Tensor = self.head(self.up_fine(torch.cat([middle, fine], dim=1)))
        return logits


class IdentityEmbedder(nn.Module):
    """Unit vectors whose cosine tells whether two portraits show the same person."""

    def __init__(self, dimensions: int = 64) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.head = nn.Linear(256, dimensions)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Unit-norm embeddings (B, 64)."""
        return F.normalize(self.head(self.trunk(resize(images_B3HW))), dim=-1)
