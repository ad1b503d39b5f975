"""Faces: found by OpenCV's YuNet, aligned by five points, embedded by an IResNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from spf_core.errors import Unavailable
from spf_core.interfaces import Backbone, Suite
from spf_lab.metrics.networks.iresnet import SIZE, IResNet
from spf_lab.metrics.networks.judge import Images, Network, pixels

Points = NDArray[np.float64]
# Left eye, right eye, nose, left and right corner of the mouth in a 112 x 112 face, as seen in the picture:
# the template that ArcFace's training faces were aligned to.
TEMPLATE_52 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


@dataclass(frozen=True)
class Face:
    """A box x, y, width, height and five points in pixels, in the template's order."""

    box: tuple[float, float, float, float]
    points_52: Points

    @property
    def area(self) -> float:
        """Of the box."""
        return self.box[2] * self.box[3]

    def overlap(self, other: "Face") -> float:
        """Intersection over union of the boxes."""
        width, height = (
            min(self.box[i] + self.box[i + 2], other.box[i] + other.box[i + 2])
            - max(self.box[i], other.box[i])
            for i in (0, 1)
        )
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / (self.area + other.area - shared)


class Detector(Protocol):
    """Finds faces."""

    def __call__(self, image: Image.Image) -> list[Face]:
        """All faces of a picture."""


class YuNet:
    """OpenCV's face detector; Unavailable without OpenCV or its model file."""

    def __init__(self, model: str | None, threshold: float) -> None:
        try:
            import cv2  # type: ignore[import-not-found]
        except ImportError:
            raise Unavailable(
                "OpenCV finds the faces, and is not installed; "
                "pip install opencv-python-headless, or set alignment=none"
            ) from None
        if model is None or not Path(model).is_file():
            raise Unavailable(f"detector '{model}' is no file; give OpenCV's face_detection_yunet .onnx file")
        self._detector: Any = cv2.FaceDetectorYN.create(model, "", (320, 320), threshold)

    def __call__(self, image: Image.Image) -> list[Face]:
        """All faces; the pixels go in as OpenCV wants them, BGR."""
        self._detector.setInputSize(image.size)
        _, rows = self._detector.detect(np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1]))
        return [yunet_face(row) for row in (rows if rows is not None else ())]


def yunet_face(row: Sequence[float]) -> Face:
    """A row of YuNet: box, then the person's right eye first, which is the left one in the picture."""
    numbers = np.asarray(row, np.float64)
    x, y, width, height = numbers[:4]
    return Face((float(x), float(y), float(width), float(height)), numbers[4:14].reshape(5, 2))


def similarity_transform(source_K2: Points, target_K2: Points) -> Points:
    """The 2 x 3 rotation, scale and shift that brings source to target at least squares (Umeyama 1991)."""
    source, target = source_K2 - source_K2.mean(axis=0), target_K2 - target_K2.mean(axis=0)
    u, strengths, vt = np.linalg.svd(target.T @ source)
    signs = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * signs @ vt
    turned = (strengths * signs).sum() / np.square(source).sum() * rotation
    shift = target_K2.mean(axis=0) - turned @ source_K2.mean(axis=0)
    return np.column_stack([turned, shift])


def aligned(image: Image.Image, face: Face) -> Image.Image:
    """The face, 112 x 112, its points where the template has them."""
    forward = np.vstack([similarity_transform(face.points_52, TEMPLATE_52), [0.0, 0.0, 1.0]])
    (a, b, c), (d, e, f), _ = np.linalg.inv(forward)
    # Points count pixel centres as whole numbers, PIL counts them as halves.
    centred = (a, b, c + 0.5 - (a + b) / 2, d, e, f + 0.5 - (d + e) / 2)
    return image.convert("RGB").transform(
        (SIZE, SIZE), Image.Transform.AFFINE, centred, Image.Resampling.BILINEAR
    )


class FaceEmbedder:
    """Embeddings of the same person's face in both pictures of each pair."""

    def __init__(self, network: IResNet, detector: Detector | None) -> None:
        self.detector, self.dimensions = detector, network.fc.out_features
        self._embed = Network(
            network, lambda faces: 2 * pixels(faces, SIZE, Image.Resampling.BILINEAR) - 1, network
        )

    def __call__(
        self, first: Images, second: Images, suite: Suite, backbone: Backbone
    ) -> tuple[Tensor, Tensor, dict[int, str]]:
        """N D each, NaN where a picture shows no face, and the reason by pair.

        The largest face of the first picture is compared with the one in the second that overlaps it most.
        Without a detector a picture is taken for an aligned face.
        """
        if self.detector is None:
            return self._embed(first, suite, backbone), self._embed(second, suite, backbone), {}
        found = [self._pair(one, other) for one, other in zip(first, second, strict=True)]
        failed = {place: reason for place, reason in enumerate(found) if isinstance(reason, str)}
        crops = [pair for pair in found if not isinstance(pair, str)]
        if not crops:
            raise Unavailable(
                f"no pair shows a face in both images: {failed[0]}. "
                "Lower its option threshold, or leave the score out"
            )
        embedded = [self._embed([pair[side] for pair in crops], suite, backbone) for side in (0, 1)]
        usable = [place for place in range(len(first)) if place not in failed]
        spread = [torch.full((len(first), part.shape[1]), torch.nan) for part in embedded]
        for whole, part in zip(spread, embedded, strict=True):
            whole[usable] = part
        return spread[0], spread[1], failed

    def each(self, images: Images, suite: Suite, backbone: Backbone) -> Tensor:
        """The embedding of the largest face of each picture, N D; NaN where there is none."""
        if self.detector is None:
            return self._embed(images, suite, backbone)
        found = [self.detector(image) for image in images]
        places = [place for place, faces in enumerate(found) if faces]
        if not places:
            return torch.full((len(images), self.dimensions), torch.nan)
        crops = [aligned(images[i], max(found[i], key=lambda face: face.area)) for i in places]
        embedded = self._embed(crops, suite, backbone)
        spread = torch.full((len(images), embedded.shape[1]), torch.nan)
        spread[places] = embedded
        return spread

    def _pair(self, one: Image.Image, other: Image.Image) -> tuple[Image.Image, Image.Image] | str:
        assert self.detector is not None
        faces, others = self.detector(one), self.detector(other)
        if not faces or not others:
            return f"no face in the {'original' if not faces else 'judged'} picture"
        person = max(faces, key=lambda face: face.area)
        return aligned(one, person), aligned(other, max(others, key=person.overlap))
