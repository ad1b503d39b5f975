"""Zero-shot judges over any CLIP: how probable a target is, and which values attributes have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image
from scipy.optimize import minimize
from torch import Tensor

from spf_photos.attributes import PHRASES

TEMPLATES = (
    ("a photo of a person, {}", "a photo of a person"),
    ("a portrait of a person, {}", "a portrait of a person"),
    ("a close-up photo of a face, {}", "a close-up photo of a face"),
)


@dataclass(frozen=True)
class Clip:
    """Unit-norm embeddings of pictures and of texts, N D, and what cosines are multiplied with."""

    images: Callable[[Sequence[Image]], Tensor]
    texts: Callable[[Sequence[str]], Tensor]
    scale: float


class Contrast:
    """Scale times the cosine with "..., TARGET" less that with the same text without it, over templates."""

    def __init__(self, clip: Clip, target: str) -> None:
        self.clip = clip
        shown, plain = (
            clip.texts([template[side].format(target) for template in TEMPLATES]) for side in (0, 1)
        )
        self._direction_D = (shown - plain).mean(dim=0)

    def __call__(self, images: Sequence[Image]) -> Tensor:
        """N log-odds of the two texts, float64."""
        if not images:
            return torch.zeros(0, dtype=torch.float64)
        return self.clip.scale * (self.clip.images(images) @ self._direction_D).double()


@dataclass(frozen=True)
class Calibration:
    """Platt's sigmoid of a contrast: probability = sigmoid(slope x contrast + offset), slope at least 0."""

    slope: float = 1.0
    offset: float = 0.0

    def __call__(self, contrast_N: Tensor) -> Tensor:
        """N probabilities, float32."""
        return torch.sigmoid(self.slope * contrast_N + self.offset).float()


def calibrate(positives_N: Tensor, negatives_M: Tensor) -> Calibration:
    """Logistic regression on contrasts of pictures with and without the target (Platt 1999).

    Both classes weigh the same, however many pictures they have, so that a probability of 0.5 lies between
    them. Platt's targets, (N + 1) / (N + 2) and 1 / (M + 2) in place of 1 and 0, keep classes that do not
    overlap from an infinite slope. The slope is never negative: a judge that scores the target lower than its
    absence tells nothing, and all its probabilities are equal.
    """
    values = torch.cat([positives_N, negatives_M]).numpy().astype(np.float64)
    centre, spread = values.mean(), max(float(values.std()), 1e-6)
    x = (values - centre) / spread
    n, m = len(positives_N), len(negatives_M)
    wanted = np.r_[np.full(n, (n + 1) / (n + 2)), np.full(m, 1 / (m + 2))]
    weights = np.r_[np.full(n, 0.5 / n), np.full(m, 0.5 / m)]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits = parameters[0] * x + parameters[1]
        value = float(weights @ (np.logaddexp(0, logits) - wanted * logits))
        error = weights * (1 / (1 + np.exp(-logits)) - wanted)
        return value, np.array([error @ x, error.sum()])

    slope, offset = minimize(
        loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]
    ).x
    return Calibration(float(slope / spread), float(offset - slope * centre / spread))


class Attributes:
    """Per attribute the softmax over its values of scale times cosine, N K."""

    def __init__(self, clip: Clip, phrases: Mapping[str, Mapping[str, str]] = PHRASES) -> None:
        """`phrases` has the text of each value, by attribute."""
        self.clip = clip
        self._texts: Mapping[str, Tensor] = {
            name: clip.texts(list(values.values())) for name, values in phrases.items()
        }

    def __call__(self, images: Sequence[Image]) -> Mapping[str, Tensor]:
        """Probabilities of every attribute's values."""
        embedded_ND = self.clip.images(images)
        return {
            name: (self.clip.scale * embedded_ND @ texts_KD.T).softmax(dim=-1)
            for name, texts_KD in self._texts.items()
        }
