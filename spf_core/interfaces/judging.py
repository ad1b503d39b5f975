"""Contracts of evaluation: worlds with their judges, the pictures to judge, metrics and scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image
from torch import Tensor

from spf_core.interfaces.training import Adapter, Backbone
from spf_core.interfaces.types import Column
from spf_core.utils.prompts import Prompt


@dataclass(frozen=True)
class UnseenPrompt:
    """An evaluation prompt with what its base text says: captioned attribute -> value."""

    prompt: Prompt
    mentioned: Mapping[str, str]


@dataclass(frozen=True)
class TrainingFacts:
    """What a suite knows of a training folder that it wrote: the target, and the bias nobody captioned."""

    target: str
    bias: Mapping[str, str]


@dataclass(frozen=True)
class Quadruples:
    """Same-seed images of one target, prompt-major; lists run over N = prompts x seeds.

    A original/base, B original/complete, C tuned/complete, D tuned/base, A2 original/base with another seed.
    `noise` and `noise2` are the N seeds of the initial noise of A, B, C, D and of A2; `rerun` is A drawn
    again for the first pairs, which shows how far sampling is deterministic.
    """

    target: str
    prompts: tuple[UnseenPrompt, ...]
    seeds: int
    noise: tuple[int, ...]
    noise2: tuple[int, ...]
    a: list[Image]
    b: list[Image]
    c: list[Image]
    d: list[Image]
    a2: list[Image]
    rerun: list[Image]


@dataclass(frozen=True)
class Region:
    """What must not change, N H W bool: pixels whose look must stay, and pixels whose part must stay.

    The two are the same for a local target; a style leaves no pixel its look but every part its place.
    """

    outside_NHW: Tensor
    """True where the look must stay."""
    layout_NHW: Tensor
    """True where the part must stay."""


@dataclass(frozen=True)
class PuritySet:
    """The metrics that make SPI and SPS in a suite: the mean over parts of the mean over a part's metrics.

    The name stands with every result, and only results of one name are compared: choose another name
    whenever the metrics, or what they compute, change. `mark` stands in brackets behind SPI and SPS wherever
    they are shown, and is empty for a suite's whole set. `left_out` says which parts lack a judge, and why;
    without one for `target` there are no effect and no SPS.
    """

    name: str
    metrics: tuple[str, ...]
    mark: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


class Suite(Protocol):
    """A world: training folders, unseen prompts, and judges that no training ever used.

    Every judge takes N images and answers for all of them on the CPU, in float32 (parts: int64).
    """

    label: str
    """What its numbers are called wherever they are shown."""
    targets: tuple[str, ...]
    """The targets that it can draw or judge, by name."""
    attributes: Mapping[str, tuple[str, ...]]
    """The values of each attribute."""
    purity: PuritySet
    """The metrics that make SPI and SPS."""

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """Write an image folder with metadata.jsonl; deterministic for a seed."""

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """What `folder` trains, when this suite wrote it; otherwise None."""

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """Prompts of the target that no training set holds, none with a base text in `avoid`.

        Those at even places caption every attribute, the others are silent on some.
        """

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image]:
        """Real examples that show the target: the scale of the effect."""

    def target_probability(self, images: Sequence[Image], target: str) -> Tensor:
        """tau: N probabilities that the target is seen."""

    def attribute_probabilities(self, images: Sequence[Image]) -> Mapping[str, Tensor]:
        """Per attribute N x K probabilities, in the order of its values."""

    def segment(self, images: Sequence[Image]) -> Tensor:
        """Part numbers, N H W."""

    def identity(self, images: Sequence[Image]) -> Tensor:
        """Unit-norm identity embeddings, N D."""

    def patch_features(self, images: Sequence[Image]) -> Tensor:
        """Features of a grid of patches, N D h w."""

    def region(self, a: Sequence[Image], other: Sequence[Image], target: str) -> Region:
        """What the target must not change between `a` and `other`, by the suite's own parser."""

    def allowed_parts(self, target: str) -> frozenset[int]:
        """Part numbers that the target may legitimately change."""

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """Attributes that the target may legitimately change."""

    def changes_identity(self, target: str) -> bool:
        """Whether the target alters what makes up the identity, so that comparing identities says nothing."""


@runtime_checkable
class AnyTarget(Protocol):
    """A suite that judges pictures of any target text, and not only the `targets` that it names."""

    def for_target(self, target: str) -> Suite:
        """The suite for this target text, whose only target it is."""


@runtime_checkable
class NeedsModel(Protocol):
    """A suite whose judges read the base model that drew the pictures."""

    def check(self) -> None:
        """Called before any picture is drawn: raises the error of weights that cannot be used."""

    def with_model(
        self, backbone: Backbone, adapter: Adapter, *, positives: Sequence[Image], negatives: Sequence[Image]
    ) -> Suite:
        """The suite that judges through `backbone`; it switches the adapter off whenever it does.

        `positives` are training images that show the target, none where they are gone. `negatives` are the
        base model's pictures of the base texts.
        """


@runtime_checkable
class Recorded(Protocol):
    """A suite that has more to record than its name: which judges it asks, and what they were told."""

    @property
    def record(self) -> Mapping[str, Any]:
        """Plain values for results.json; results with other `judges` cannot be compared."""


@runtime_checkable
class JointlyJudged(Protocol):
    """A suite that knows which of its targets one picture can show, and its judges see, at once."""

    def why_not_joint(self, targets: Sequence[str]) -> str | None:
        """Why a prompt that asks for all these targets cannot be judged; None where it can."""


@runtime_checkable
class Limited(Protocol):
    """A suite that knows what its judges say of a perfect edit: no method can be expected to score better."""

    def ceiling(self, target: str) -> Mapping[str, Mapping[str, float | None]]:
        """Headline scores and parts, under `all`, `explicit` and `silent`; nothing where it is unknown."""


class Metric(Protocol):
    """A per-pair distance between two lists of images; lower is closer."""

    part: str
    """The part of pollution it measures, such as appearance, structure, layout or identity."""

    def __call__(
        self,
        suite: Suite,
        first: Sequence[Image],
        second: Sequence[Image],
        region: Region | None,
        target: str,
    ) -> Tensor:
        """Return N distances, NaN where a pair has none.

        With `region` None nothing at all may change: whole images, all parts, every attribute are compared.
        """


class Score(Protocol):
    """A number of the literature that is shown beside the purity score and does not enter it."""

    provenance: Mapping[str, Any]
    """What judges: model, revision, hashes of its weights, settings."""

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> Mapping[str, Column]:
        """Compare A with C, or C with its text; the key "" is the score itself, others are its variants.

        Every pair has a prompt of its own (`quads.seeds` is 1). Asked again with B in the place of C, lists
        being the same objects. Raises Unavailable where the score says nothing at all; any other error is
        traced to the pairs that cause it, and the rest is scored without them.
        """
