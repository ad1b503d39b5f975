"""Judges of photographs: each answers for a list of pictures, on the CPU."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces import Adapter, Backbone, PuritySet
from spf_photos.targets import Allowance

if TYPE_CHECKING:
    from spf_photos.options import PhotosConfig

Ask = Callable[[Sequence[Image]], Tensor]


@dataclass(frozen=True)
class Judges:
    """What a suite asks; None where a judge is missing.

    `parts` are the layout's part numbers, N H W, of which the target may change `allowed_parts`; `region` has
    `region_parts` where a picture may show the target, N H W, and a style asks for none. `grid` is the height
    and width of the region.
    `failures` counts pictures that a judge could say nothing about.
    """

    target: Ask | None
    calibrated: bool
    note: str  # how the target's judge was calibrated, where that matters to a reader
    attributes: Callable[[Sequence[Image]], Mapping[str, Tensor]] | None
    features: Ask | None
    identity: Ask | None
    parts: Ask | None
    region: Ask | None
    region_parts: frozenset[int]
    allowed_parts: frozenset[int]
    grid: tuple[int, int]
    provenance: Mapping[str, Any]
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def recorded(self) -> dict[str, Any]:
        """What judged: models, hashes, settings, and whether the target's judge was calibrated."""
        found = {name: judge for name, judge in self.provenance.items() if name != "region" or self.region}
        if "target" in found:
            found["target"] = {**found["target"], "calibrated": self.calibrated}
        return found


@dataclass(frozen=True)
class Case:
    """What is judged, with what: one target on pictures of one base model."""

    options: "PhotosConfig"
    target: str
    allowance: Allowance
    purity: PuritySet
    backbone: Backbone
    adapter: Adapter
    positives: Sequence[Image]  # training images with the target
    negatives: Sequence[Image]  # the base model's pictures of the base texts
