"""The suite `photos`: photographs of people, whatever the target, as `spf_core.interfaces.Suite`."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import Image
from torch import Tensor

from spf_core.errors import ConfigError, Unavailable
from spf_core.interfaces import Adapter, Backbone, PuritySet, Region, TrainingFacts, UnseenPrompt
from spf_core.utils.prompts import Prompt
from spf_lab.metrics.regions import allowed_share, global_region, local_region
from spf_photos.attributes import ATTRIBUTES, NAMED
from spf_photos.judges import Ask, Case, Judges, full, light
from spf_photos.judges.networks import load_networks
from spf_photos.prompts import PortraitPrompt, portrait_prompts
from spf_photos.purity import purity_of
from spf_photos.targets import Allowance, allowance_of, check_attributes

if TYPE_CHECKING:
    from spf_photos.options import PhotosConfig

ROOM = 0.25  # share of a picture that a region may fill where no training image shows the target


class PhotosSuite:
    """Unseen prompts and judges of photographs; any text can be the target.

    Formulas are those of every suite, see `spf_core.interfaces.judging`; judges are chosen by options.

    It writes no training sets. Its judges need the run's base model, see `with_model`.
    """

    targets: tuple[str, ...] = ()

    def __init__(self, options: "PhotosConfig", target: str | None = None) -> None:
        self.options, self.target = options, target
        self.allowance = _allowance(options, target or "")
        self.purity: PuritySet = purity_of(options, self.allowance)
        self.attributes: Mapping[str, tuple[str, ...]] = (
            {} if "attributes" in self.purity.left_out else ATTRIBUTES
        )
        self._judges: Judges | None = None
        self._positives: list[Image] = []
        self._limit: float | None = None
        self.label = f"photographs, {options.judges} judges"
        if target is not None:
            self.targets = (target,)

    def for_target(self, target: str) -> "PhotosSuite":
        """The suite for this target text; ConfigError for parts or attributes that do not exist."""
        return PhotosSuite(self.options, target)

    def check(self) -> None:
        """Load the networks once; RunError or Unavailable for weights or parts that cannot be used."""
        if self.options.judges == "full":
            load_networks(self.options, self.purity.left_out).allowed(self.options, self.allowance)

    def with_model(
        self, backbone: Backbone, adapter: Adapter, *, positives: Sequence[Image], negatives: Sequence[Image]
    ) -> "PhotosSuite":
        """The suite with its judges: networks on the disk, or parts of the base model `backbone`."""
        assert self.target is not None, "a run is judged on a target"
        bound = PhotosSuite(self.options, self.target)
        case = Case(
            self.options, self.target, self.allowance, self.purity, backbone, adapter, positives, negatives
        )
        bound._judges = light.judges(case) if self.options.judges == "light" else full.judges(case)
        bound.label += f", {note}" if (note := bound._judges.note) else ""
        bound._positives = list(positives)
        return bound

    @property
    def record(self) -> Mapping[str, Any]:
        """What the target may change, which judges were asked, and what they failed on."""
        judges = self._judges
        return {
            "judges": judges.recorded if judges else {},
            "target_allowance": self.allowance.to_json(),
            "judges_failed": dict(judges.failures) if judges else {},
        }

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """ConfigError: there are no photographs that this project could write."""
        raise ConfigError("suite 'photos' writes no training sets; train on photographs of your own")

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """None: it knows no folder, and judges those that no other suite knows."""
        return None

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """Prompts of the split without what the target may change; more prompts extend the same list.

        ConfigError where there are fewer. Another seed gives another order.
        """
        allowed = self.allowance.attributes
        known = [item for item in portrait_prompts(split) if item.text(allowed) not in avoid]
        explicit, silent = (
            [item for item in known if _is_explicit(item) == wanted] for wanted in (True, False)
        )
        if seed:
            generator = torch.Generator().manual_seed(seed)
            explicit, silent = (
                [part[i] for i in torch.randperm(len(part), generator=generator)]
                for part in (explicit, silent)
            )
        most = min(2 * len(explicit), 2 * len(silent) + 1)
        if count > most:
            raise ConfigError(
                f"{count} prompts: suite 'photos' has {most} of split '{split}' that training did not see; "
                "ask for fewer, or name a file of your own with --prompts FILE"
            )
        chosen = [(silent if place % 2 else explicit)[place // 2] for place in range(count)]
        return [UnseenPrompt(Prompt(item.text(allowed), target), item.mentioned(allowed)) for item in chosen]

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image]:
        """Training images with the target, where the target's judge was calibrated on them; else none."""
        calibrated = self._judges is not None and self._judges.calibrated
        return self._positives[:count] if calibrated else []

    def target_probability(self, images: Sequence[Image], target: str) -> Tensor:
        """Tau: N probabilities; NaN where there is no judge of the target."""
        judge = self._asked.target
        return judge(images) if judge else torch.full((len(images),), torch.nan)

    def attribute_probabilities(self, images: Sequence[Image]) -> Mapping[str, Tensor]:
        """Per attribute N x K probabilities; nothing where there is no judge of attributes."""
        judge = self._asked.attributes
        return judge(images) if judge else {}

    def segment(self, images: Sequence[Image]) -> Tensor:
        """Part numbers N H W; Unavailable without a face parser."""
        return self._there(self._asked.parts, "parts")(images)

    def identity(self, images: Sequence[Image]) -> Tensor:
        """Identity embeddings N D, NaN where no face is found; Unavailable without a judge."""
        return self._there(self._asked.identity, "identity")(images)

    def patch_features(self, images: Sequence[Image]) -> Tensor:
        """Features of a grid of patches, N D h w; Unavailable without a judge."""
        return self._there(self._asked.features, "structure")(images)

    def region(self, a: Sequence[Image], other: Sequence[Image], target: str) -> Region:
        """The complement of where either picture may show the target."""
        if self.allowance.scope == "global":
            return global_region(torch.zeros(len(a), *self._asked.grid, dtype=torch.int64))
        inside, find = self._asked.region_parts, self._there(self._asked.region, "region")
        return local_region(find(a), find(other), inside, self._largest)

    def allowed_parts(self, target: str) -> frozenset[int]:
        """Numbers of the parser's classes that a local target may change; none for a style."""
        return frozenset() if self.allowance.scope == "global" else self._asked.allowed_parts

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """Attributes that the target may change."""
        return self.allowance.attributes

    def changes_identity(self, target: str) -> bool:
        """Whether the target alters the identity."""
        return self.allowance.changes_identity

    @property
    def _asked(self) -> Judges:
        assert self._judges is not None, "with_model() comes before any judge is asked"
        return self._judges

    @property
    def _largest(self) -> float:
        """95th percentile of the region's share in training images: what the tuned picture adds must fit."""
        if self._limit is None and not self._positives:
            self._limit = ROOM
        if self._limit is None:
            parts = self._there(self._asked.region, "region")(self._positives)
            self._limit = float(allowed_share(parts, self._asked.region_parts).quantile(0.95))
        return self._limit

    def _there(self, judge: Ask | None, what: str) -> Ask:
        if judge is None:
            reason = self.purity.left_out.get({"parts": "layout"}.get(what, what))
            raise Unavailable(
                f"no judge of {what}: "
                f"{reason or f'the set {self.purity.name} has none; choose another with --set photos.judges'}"
            )
        return judge


def _is_explicit(item: PortraitPrompt) -> bool:
    """Whether the prompt names everything that prompts can name."""
    return len(item.mentioned()) == len(NAMED)


def _allowance(options: "PhotosConfig", target: str) -> Allowance:
    """What the words of the target allow, overridden by the options; ConfigError for an unknown attribute."""
    usual = allowance_of(target)
    given = options.allowed_attributes
    return Allowance(
        options.scope or usual.scope,
        usual.parts if options.allowed_parts is None else frozenset(options.allowed_parts),
        usual.attributes if given is None else check_attributes(given),
        usual.changes_identity if options.changes_identity is None else options.changes_identity,
    )
