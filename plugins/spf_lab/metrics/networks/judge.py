"""What all networks share: RGB pictures in, CPU float32 out, in batches, each list judged once."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor, nn

from spf_core.interfaces import Backbone, Suite

BATCH = 16
Images = Sequence[Image]
# Judges of images take the suite and the backbone too, whose own judges stand beside outside networks.
ImageJudge = Callable[[Images, Suite, Backbone], Tensor]
TextJudge = Callable[[Sequence[str], Suite, Backbone], Tensor]


class Network:
    """A frozen module with what turns pictures into its input; remembers the answer to every list object."""

    def __init__(
        self, module: nn.Module, prepare: Callable[[Images], Tensor], read: Callable[[Tensor], Tensor]
    ) -> None:
        self.module, self.prepare, self.read = module, prepare, read
        self._answers: dict[int, tuple[Any, Tensor]] = {}

    def __call__(self, images: Images, suite: Suite, backbone: Backbone) -> Tensor:
        """Answers for N pictures, on the CPU, float32 (class numbers: int64)."""
        if id(images) not in self._answers:
            self._answers[id(images)] = (images, self._ask(images, backbone.device))
        return self._answers[id(images)][1]

    @torch.no_grad()
    def _ask(self, images: Images, device: torch.device) -> Tensor:
        self.module.to(device)
        parts = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        read = [
            self.read(self.prepare([image.convert("RGB") for image in part]).to(device)) for part in parts
        ]
        answer = torch.cat(read).cpu()
        return answer.float() if answer.is_floating_point() else answer


def pixels(images: Images, size: int | None = None, resample: int | None = None) -> Tensor:
    """Pictures as float32 B 3 H W in [0, 1]; with a `size` resized by PIL, which filters when it shrinks."""
    if size is not None:
        images = [image.resize((size, size), resample) for image in images]
    arrays = [np.asarray(image.convert("RGB"), np.float32) / 255 for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
