"""The suite `portraits`: the procedural world seen through `spf_core.interfaces.Suite`."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spf_core.errors import DataError, unknown
from spf_core.interfaces import PuritySet, Region, TrainingFacts, UnseenPrompt
from spf_core.utils.json_text import read_json
from spf_core.utils.prompts import Prompt
from spf_lab.metrics.regions import allowed_share, global_region, local_region
from spf_portraits.judges.load import CEILING_FILE, DEFAULT_FOLDER, Judges, load_judges
from spf_portraits.world.render import render
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Target, check_bias, sample_portrait
from spf_portraits.world.tailored import (
    Item,
    evaluation_prompts,
    tailored_set,
    write_portraits,
)

USUALLY_BIASED = ("background", "clothes", "expression")
OVERLAPPED = frozenset({"background", "clothes", "hair"})
IDENTITY_TRAITS = frozenset({"hair_style", "hair_color", "skin"})
BATCH = 64
REFERENCE_COUNT = 64


class PortraitsSuite:
    """Training folders, unseen prompts and judges of the embedded portraits.

    Styles ("global" targets) may change the look of every pixel, so that appearance and structure do not
    apply to them; where parts lie, and attributes that a style does not touch, still count.
    """

    label = "embedded portraits"
    targets = tuple(TARGETS)
    attributes: Mapping[str, tuple[str, ...]] = ATTRIBUTES
    purity = PuritySet("portraits-1", ("appearance", "structure", "layout", "identity", "attributes"))

    def __init__(self, judges: str | None = None) -> None:
        self._folder = Path(judges) if judges else None
        self._limits: dict[str, float] = {}

    @cached_property
    def judges(self) -> Judges:
        """The trained judges, read from disk on first use."""
        return load_judges(self._folder)

    def write_training_set(
        self, out: Path, *, target: str, count: int, bias: Mapping[str, str], seed: int, size: int
    ) -> None:
        """Write a tailored set whose captions are silent on the biased attributes."""
        items = tailored_set(target, count, bias=bias, seed=seed)
        write_portraits(out, items, size=size, extra={"target": target, "bias": dict(bias), "seed": seed})

    def recognise(self, folder: Path) -> TrainingFacts | None:
        """Read target and bias from the folder's portraits.json, if it has one."""
        record = folder / "portraits.json"
        if not record.is_file():
            return None
        try:
            facts = read_json(record)
            target, bias = facts.get("target"), check_bias(facts.get("bias") or {})
        except (OSError, ValueError, AttributeError, TypeError):
            raise DataError(f"'{record}' is damaged: write the training set again") from None
        return TrainingFacts(target, bias) if target in TARGETS else None

    def prompts(
        self, target: str, count: int, *, seed: int, split: str, avoid: Collection[str] = ()
    ) -> list[UnseenPrompt]:
        """Base texts of attribute combinations kept from all training; more prompts extend the same list."""
        items = self.unseen(count, seed=seed, split=split, avoid=avoid)
        return [unseen_prompt(item, self._target(target)) for item in items]

    def unseen(self, count: int, *, seed: int, split: str, avoid: Collection[str] = ()) -> list[Item]:
        """The portraits that unseen base texts describe, with their captions.

        Odd ones are silent on the usually biased attributes and on a third of the others, drawn at random.
        """
        found, taken, draw = list[Item](), set(avoid), 0
        while len(found) < count:
            mention = _mention(seed, draw) if len(found) % 2 else None
            drawn = int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
            [(portrait, caption)] = evaluation_prompts(1, seed=drawn, split=split, mention=mention)
            draw += 1
            if caption.base_text not in taken:
                taken.add(caption.base_text)
                found.append((portrait, caption))
        return found

    def positives(self, target: str, count: int, *, seed: int, size: int) -> list[Image.Image]:
        """Renders of other people with the target."""
        self._target(target)
        rng = np.random.default_rng(seed)
        portraits = [sample_portrait(rng, target=target, split="test") for _ in range(count)]
        return [Image.fromarray(render(portrait, size)) for portrait in portraits]

    def target_probability(self, images: Sequence[Image.Image], target: str) -> Tensor:
        """Tau by the attribute probe: N probabilities."""
        self._target(target)
        column = self.judges.classes["target"].index(target)
        return self._probe(images)["target"][:, column]

    def attribute_probabilities(self, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        """Per attribute N x K probabilities."""
        probed = self._probe(images)
        return {name: probed[name] for name in self.attributes}

    def segment(self, images: Sequence[Image.Image]) -> Tensor:
        """Part numbers N 64 64, indices into the judges' parts."""
        return torch.cat([self.judges.segment(batch).cpu() for batch in _batches(images)])

    def identity(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit-norm identity embeddings N D."""
        return torch.cat([self.judges.identity(batch).cpu() for batch in _batches(images)])

    def patch_features(self, images: Sequence[Image.Image]) -> Tensor:
        """Features of 8 x 8 patches from the attribute probe's convolutions, N D 8 8."""
        return torch.cat([self.judges.features(batch).cpu() for batch in _batches(images)])

    def region(self, a: Sequence[Image.Image], other: Sequence[Image.Image], target: str) -> Region:
        """The complement of the parts the target may change in either image, by the part segmenter."""
        parts_a = self.segment(a)
        if self._target(target).scope == "global":
            return global_region(parts_a)
        return local_region(parts_a, self.segment(other), self.allowed_parts(target), self._limit(target))

    def allowed_parts(self, target: str) -> frozenset[int]:
        """Indices of the parts a local target may change wherever they are; none for a style.

        Background, clothes, and hair that it need not hide may be overlapped by the target, but otherwise
        must not change: they are not given away as a whole.
        """
        known = self._target(target)
        overlapped = OVERLAPPED - {"hair"} if "hair_style" in known.allowed_attributes else OVERLAPPED
        names = set() if known.scope == "global" else set(known.allowed_parts) - overlapped
        return frozenset(self.judges.parts.index(name) for name in names)

    def allowed_attributes(self, target: str) -> frozenset[str]:
        """Attributes the target may hide or alter."""
        return frozenset(self._target(target).allowed_attributes)

    def ceiling(self, target: str) -> Mapping[str, Mapping[str, float | None]]:
        """What the judges say of the portraits themselves, rendered with the target (stage `ceiling`)."""
        self._target(target)
        file = (self._folder or DEFAULT_FOLDER) / CEILING_FILE
        found = read_json(file)["targets"].get(target, {}) if file.is_file() else {}
        return {name: scores for name, scores in found.items() if isinstance(scores, Mapping)}

    def changes_identity(self, target: str) -> bool:
        """Whether the target may alter hair or skin, of which the identity is made."""
        return bool(self.allowed_attributes(target) & IDENTITY_TRAITS)

    def why_not_joint(self, targets: Sequence[str]) -> str | None:
        """No two targets can: the probe was trained on one a portrait, and its probabilities sum to 1."""
        return "the judge of this suite names one target a picture" if len(targets) > 1 else None

    def _target(self, name: str) -> Target:
        if name not in TARGETS:
            raise unknown("target", name, TARGETS)
        return TARGETS[name]

    def _probe(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        read = [self.judges.probe(batch) for batch in _batches(images)]
        return {name: torch.cat([part[name].cpu() for part in read]) for name in read[0]}

    def _limit(self, target: str) -> float:
        """95th percentile of the allowed parts' share in renders of the target."""
        if target not in self._limits:
            parts = self.segment(self.positives(target, REFERENCE_COUNT, seed=0, size=64))
            self._limits[target] = float(allowed_share(parts, self.allowed_parts(target)).quantile(0.95))
        return self._limits[target]


def unseen_prompt(item: Item, target: Target) -> UnseenPrompt:
    """The prompt that asks for the target in the item's caption."""
    portrait, caption = item
    labels = portrait.labels()
    mentioned = {name: labels[name] for name in caption.mentioned}
    return UnseenPrompt(Prompt(caption.base_text, target.phrase, caption.base_phrases), mentioned)


def _mention(seed: int, draw: int) -> list[str]:
    rng = np.random.default_rng([seed, draw, 1])
    others = [name for name in ATTRIBUTES if name not in USUALLY_BIASED]
    return [name for name in others if rng.random() >= 1 / 3]


def _batches(images: Sequence[Image.Image]) -> list[Tensor]:
    pixels = [np.asarray(image.convert("RGB"), np.float32) / 255 for image in images]
    stacked_B3HW = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    return [stacked_B3HW[start : start + BATCH] for start in range(0, len(images), BATCH)]
