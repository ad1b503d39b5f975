"""The sequences of the protocol: which target each stage learns, and its configuration. Torch-free."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from math import factorial
from pathlib import Path

from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError
from spf_core.plugins.discovery import Plugins
from spf_lab.benchmark.plan import Cell, cell_config
from spf_lab.benchmark.spec import PresetEntry
from spf_lab.continual.spec import ContinualSpec


@dataclass(frozen=True)
class Stages:
    """One sequence: a preset that learns the targets in one order. `number` counts orders from 1."""

    entry: PresetEntry
    number: int
    order: tuple[str, ...]

    @property
    def name(self) -> str:
        """How the sequence is called on screen, and where it lies."""
        return f"{self.entry.name}/{self.order_name}"

    @property
    def order_name(self) -> str:
        """How its order is called, the same for every preset."""
        return f"order-{self.number}"

    def folder(self, out: Path) -> Path:
        """The sequence's folder, with one folder for each stage."""
        return out / "sequences" / self.name

    def __iter__(self) -> "Iterator[Stage]":
        return (Stage(self, number) for number in range(1, len(self.order) + 1))


@dataclass(frozen=True)
class Stage:
    """Stage `number` of a sequence, from 1: it learns one target from the weights of the stage before."""

    sequence: Stages
    number: int

    @property
    def target(self) -> str:
        """What is learnt."""
        return self.sequence.order[self.number - 1]

    @property
    def name(self) -> str:
        """How the stage is called on screen."""
        return f"{self.sequence.name} stage {self.number}/{len(self.sequence.order)} {self.target}"

    def folder(self, out: Path) -> Path:
        """The stage's folder: run/ and evaluation/."""
        return self.sequence.folder(out) / f"{self.number}-{self.target}"

    def run(self, out: Path) -> Path:
        """The run folder of the stage."""
        return self.folder(out) / "run"

    def evaluation(self, out: Path, target: str) -> Path:
        """Where the evaluation on a target lies."""
        return self.folder(out) / "evaluation" / target

    @property
    def start(self) -> "Stage | None":
        """The stage whose weights this one begins with; None for the first."""
        return Stage(self.sequence, self.number - 1) if self.number > 1 else None

    def judged(self, spec: ContinualSpec) -> tuple[str, ...]:
        """The targets that the stage is judged on, in the order of learning."""
        order = self.sequence.order
        return order if spec.evaluation.targets == "all" else order[: self.number]


def draw_orders(targets: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """`count` different random orders, or all there are if these are fewer.

    They depend on `seed` and on the set of targets alone; more orders extend the same list.
    """
    found: dict[tuple[str, ...], None] = {}
    draw = 0
    while len(found) < min(count, factorial(len(targets))):
        keys = {target: sha256(f"{seed}:{draw}:{target}".encode()).hexdigest() for target in targets}
        found[tuple(sorted(targets, key=keys.__getitem__))] = None
        draw += 1
    return list(found)


def all_sequences(spec: ContinualSpec) -> list[Stages]:
    """Every sequence; the first order of every preset comes first."""
    orders = draw_orders(spec.targets, spec.orders, spec.order_seed)
    return [Stages(entry, n, order) for n, order in enumerate(orders, start=1) for entry in spec.presets]


def chosen_sequences(spec: ContinualSpec, only: str | None) -> list[Stages]:
    """The sequences whose PRESET/order-N matches `only`, a pattern; ConfigError when none does."""
    sequences = all_sequences(spec)
    chosen = [each for each in sequences if only is None or fnmatchcase(each.name, only)]
    if not chosen:
        known = ", ".join(each.name for each in sequences)
        raise ConfigError(f"--only {only}: no sequence matches; there are {known}")
    return chosen


def stage_config(spec: ContinualSpec, stage: Stage, plugins: Plugins, out: Path, device: str) -> RunConfig:
    """The run configuration of a stage; ConfigError names the entry whose settings cannot be."""
    cell = Cell(stage.target, stage.sequence.entry, spec.seed)
    config = cell_config(spec.as_benchmark(), cell, plugins, out, device)
    if config.train.start_from is not None:
        raise ConfigError(
            f"presets.{cell.entry.name}: 'train.start_from' cannot be set; the sequence decides it"
        )
    start = None if stage.start is None else str(stage.start.run(out))
    return config.model_copy(update={"train": config.train.model_copy(update={"start_from": start})})


def placeless(config: RunConfig) -> RunConfig:
    """The configuration without the folder it starts from, which another machine may mount elsewhere."""
    return config.model_copy(update={"train": config.train.model_copy(update={"start_from": None})})
