"""A suite that caches its judges' answers, as several metrics ask for the same images."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces import Region, Suite, TrainingFacts, UnseenPrompt

Answer = TypeVar("Answer")
Images = Sequence[Image]


class CachedSuite:
    """Wraps a suite; the same list object is judged once by each judge. Lists must not be changed."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.label, self.targets, self.attributes = suite.label, suite.targets, suite.attributes
        self.purity = suite.purity
        self._answers: dict[tuple[Any, ...], tuple[tuple[Images, ...], Any]] = {}

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """See `Suite`."""
        self.suite.write_training_set(out, target=target, count=count, bias=bias, seed=seed, size=size)

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """See `Suite`."""
        return self.suite.recognise(folder)

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """See `Suite`."""
        return self.suite.prompts(target, count, seed=seed, split=split, avoid=avoid)

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image]:
        """See `Suite`."""
        return self.suite.positives(target, count, seed=seed, size=size)

    def target_probability(self, images: Images, target: str) -> Tensor:
        """See `Suite`."""
        return self._once(lambda: self.suite.target_probability(images, target), "target", target, images)

    def attribute_probabilities(self, images: Images) -> Mapping[str, Tensor]:
        """See `Suite`."""
        return self._once(lambda: self.suite.attribute_probabilities(images), "attributes", "", images)

    def segment(self, images: Images) -> Tensor:
        """See `Suite`."""
        return self._once(lambda: self.suite.segment(images), "segment", "", images)

    def identity(self, images: Images) -> Tensor:
        """See `Suite`."""
        return self._once(lambda: self.suite.identity(images), "identity", "", images)

    def patch_features(self, images: Images) -> Tensor:
        """See `Suite`."""
        return self._once(lambda: self.suite.patch_features(images), "features", "", images)

    def region(self, a: Images, other: Images, target: str) -> Region:
        """See `Suite`."""
        return self._once(lambda: self.suite.region(a, other, target), "region", target, a, other)

    def allowed_parts(self, target: str) -> frozenset[int]:
        """See `Suite`."""
        return self.suite.allowed_parts(target)

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """See `Suite`."""
        return self.suite.allowed_attributes(target)

    def changes_identity(self, target: str) -> bool:
        """See `Suite`."""
        return self.suite.changes_identity(target)

    def _once(self, ask: Callable[[], Answer], judge: str, target: str, *lists: Images) -> Answer:
        key = (judge, target, *(id(images) for images in lists))
        if key not in self._answers:
            self._answers[key] = (lists, ask())
        answer: Answer = self._answers[key][1]
        return answer
