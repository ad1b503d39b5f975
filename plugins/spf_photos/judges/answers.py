"""Answers that are kept picture by picture, as several metrics and figures ask for the same ones."""

from collections.abc import Callable, Sequence

import torch
from PIL.Image import Image
from torch import Tensor


class Remembered:
    """A judge that answers for each picture object once, `batch` of them at a time."""

    def __init__(self, ask: Callable[[Sequence[Image]], Tensor], batch: int) -> None:
        self._ask, self._batch = ask, batch
        self._answers: dict[int, tuple[Image, Tensor]] = {}

    def __call__(self, images: Sequence[Image]) -> Tensor:
        """Answers for N pictures, stacked."""
        new = [image for image in images if id(image) not in self._answers]
        for start in range(0, len(new), self._batch):
            part = new[start : start + self._batch]
            for image, answer in zip(part, self._ask(part), strict=True):
                self._answers[id(image)] = (image, answer.clone())
        return torch.stack([self._answers[id(image)][1] for image in images])
