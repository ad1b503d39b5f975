"""The cells of a benchmark and the configuration of each, checked before anything is computed. Torch-free."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf_core.config.loading import load_run_config
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, unknown
from spf_core.plugins import ScoreConfig
from spf_core.plugins.discovery import Plugins
from spf_core.utils.private import public
from spf_lab.benchmark.spec import BenchmarkSpec, PresetEntry
from spf_lab.evaluation.score_options import choose_scores

if TYPE_CHECKING:
    from spf_core.interfaces import Suite

RECORD_FILE, SHEET_FILE = "record.json", "pictures.webp"


@dataclass(frozen=True)
class Cell:
    """One training run and its evaluation."""

    target: str
    entry: PresetEntry
    seed: int

    @property
    def name(self) -> str:
        """How the cell is called on screen, and where it lies."""
        return f"{self.target}/{self.entry.name}/seed-{self.seed}"

    def folder(self, out: Path) -> Path:
        """The cell's folder in a benchmark's folder: its record, and beside it run/ and evaluation/."""
        return out / "cells" / self.name

    def run(self, out: Path) -> Path:
        """The run folder of the cell."""
        return self.folder(out) / "run"

    def evaluation(self, out: Path) -> Path:
        """The evaluation's folder of the cell."""
        return self.folder(out) / "evaluation"

    def record(self, out: Path) -> Path:
        """The file that says what the finished cell gave, until it is packed into the target's archive."""
        return self.folder(out) / RECORD_FILE

    def sheet(self, out: Path) -> Path:
        """The cell's pictures in one file, where it keeps any, until they are packed."""
        return self.folder(out) / SHEET_FILE


def all_cells(spec: BenchmarkSpec) -> list[Cell]:
    """Every cell; the first training seed of everything comes first."""
    return [
        Cell(target, entry, seed)
        for seed in spec.seeds
        for target in spec.targets
        for entry in spec.presets
        if target in (entry.targets or spec.targets) and seed in (entry.seeds or spec.seeds)
    ]


def chosen_cells(spec: BenchmarkSpec, only: str | None) -> list[Cell]:
    """The cells whose TARGET/NAME, or TARGET/NAME/seed-N, matches `only`; ConfigError when none does.

    `only` is a pattern with * and ?.
    """
    cells = all_cells(spec)
    if only is None:
        return cells
    chosen = [
        cell
        for cell in cells
        if any(fnmatchcase(name, only) for name in (f"{cell.target}/{cell.entry.name}", cell.name))
    ]
    if not chosen:
        known = ", ".join(dict.fromkeys(f"{cell.target}/{cell.entry.name}" for cell in cells))
        raise ConfigError(f"--only {only}: no cell matches; there are {known}")
    return chosen


def data_folder(out: Path, target: str) -> Path:
    """Where the training folder of a target lies."""
    return out / "data" / target


def build_suite(spec: BenchmarkSpec, plugins: Plugins) -> "Suite":
    """The suite, after every name in the file was found and every run's settings resolved."""
    from spf_core.plugins.building import built  # imports torch

    config = plugins.get(spec.suite, "suite")
    if not getattr(config, "writes_data", True):
        raise ConfigError(
            f"suite '{spec.suite}' writes no training sets, which a benchmark trains on; train runs on your "
            "own data, and evaluate each with spf evaluate"
        )
    suite: Suite = built(config)
    for target in spec.targets:
        if target not in suite.targets:
            raise unknown("target", target, suite.targets)
    for attribute, value in spec.data.bias.items():
        if attribute not in suite.attributes:
            raise unknown("attribute", attribute, suite.attributes)
        if value not in suite.attributes[attribute]:
            raise unknown(f"value of '{attribute}'", value, suite.attributes[attribute])
    for target in (spec.targets[0], *spec.target_set):
        configs = {
            entry.name: cell_config(spec, Cell(target, entry, spec.seeds[0]), plugins, Path(), "auto")
            for entry in spec.presets
        }
        _refuse_mixed(configs)
    cell_scores(spec, plugins)
    return suite


def cell_scores(spec: BenchmarkSpec, plugins: Plugins) -> dict[str, ScoreConfig]:
    """Configs of the scores that every cell is given; ConfigError for an unknown name or option."""
    entries = spec.evaluation.scores
    options = [f"{entry.name}.{option}" for entry in entries for option in entry.assignments]
    try:
        return choose_scores(plugins, [entry.name for entry in entries], options)
    except ConfigError as error:
        raise ConfigError(f"evaluation.scores: {error}") from None


def _refuse_mixed(configs: Mapping[str, RunConfig]) -> None:
    """One process trains all cells, and Accelerate has one precision and one device in a process."""
    (first, chosen), *others = configs.items()
    for name, config in others:
        for key in ("precision", "device"):
            one, other = getattr(chosen.train, key), getattr(config.train, key)
            if one != other:
                raise ConfigError(
                    f"presets.{name}: train.{key} is {other!r}, but {one!r} for '{first}'; "
                    f"all presets of a file share it"
                )


def cell_config(spec: BenchmarkSpec, cell: Cell, plugins: Plugins, out: Path, device: str) -> RunConfig:
    """The run configuration of a cell; ConfigError names the entry whose settings cannot be."""
    train: dict[str, Any] = {"device": device, "seed": cell.seed}
    if spec.steps is not None and _trains(plugins, cell.entry.preset):
        train["steps"] = spec.steps
    data = str(data_folder(out, cell.target))
    overrides = {"data": data, "train": train, **({"plugins": list(spec.plugins)} if spec.plugins else {})}
    try:
        config = load_run_config(
            plugins,
            preset=cell.entry.preset,
            backbone=spec.backbone,
            overrides=overrides,
            assignments=(
                *spec.assignments,
                *spec.target_set.get(cell.target, ()),
                *cell.entry.assignments,
            ),
        )
    except ConfigError as error:
        raise ConfigError(f"presets.{cell.entry.name}: {error}") from None
    for key, wanted, found in (("train.seed", cell.seed, config.train.seed), ("data", data, config.data)):
        if wanted != found:
            raise ConfigError(f"presets.{cell.entry.name}: '{key}' cannot be set; the file decides it")
    return config


def _trains(plugins: Plugins, preset: str) -> bool:
    """Whether the preset takes any step: what merely asks the original goes on to do so."""
    settings: Mapping[str, Any] = getattr(plugins.get(preset, "preset"), "settings", {})
    return bool(settings.get("train", {}).get("steps", True))


def differences(one: RunConfig, other: RunConfig) -> Iterator[tuple[str, Any, Any]]:
    """Settings in which two runs differ, besides where they run and where their files lie."""
    first, second = (_flat(config) for config in (one, other))
    for key in sorted({*first, *second}):
        if first.get(key) != second.get(key):
            yield key, first.get(key), second.get(key)


def comparable(config: RunConfig) -> dict[str, Any]:
    """A run's settings besides where it runs and where its files lie."""
    settings = config.model_dump(mode="json", exclude={"data": True, "plugins": True, "train": {"device"}})
    found: dict[str, Any] = public(settings)
    return found


def _flat(config: RunConfig) -> dict[str, Any]:
    return {
        f"{section}.{key}" if isinstance(values, dict) else section: value
        for section, values in comparable(config).items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    }
