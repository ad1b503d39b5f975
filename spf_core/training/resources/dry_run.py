"""What `spf train` would do, found without training and without writing anything."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import TrainSection
from spf_core.data import Row
from spf_core.interfaces import Adapter
from spf_core.plugins.building import attach, built
from spf_core.plugins.configs import TermConfig
from spf_core.preparation.rows import rows_of, viewed_rows
from spf_core.runs.run import open_backbone
from spf_core.training.resources.drawn_texts import largest, texts_to_draw, with_texts
from spf_core.training.resources.run_estimate import (
    FLOAT,
    memory_rows,
    preparation_estimate,
    size_of,
    size_rows,
    unless_unknown,
)
from spf_core.training.resources.stage_plan import run_stages
from spf_core.training.resources.time_estimate import Duration, time_estimate, unit_times
from spf_core.training.sharding import refuse_unshardable
from spf_core.training.trackers import require_trackers
from spf_core.training.warm_start import read_warm_start
from spf_core.utils.distributed import wants_shards, world_size
from spf_core.utils.paths import cache_folder
from spf_core.utils.progress import PlannedStage

Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class Plan:
    """Tables to show: names and values, but for two.

    Of `terms` name, weight, steps and needs; of `time` each stage with its units, forward passes and time.
    """

    training: Rows
    terms: Rows
    sizes: Rows
    time: Rows


def plan_of(config: RunConfig) -> Plan:
    """Load everything that training would load first; raises what it would raise."""
    rows, start = rows_of(config.preparation), read_warm_start(config)
    built(config.optimizer)
    require_trackers(config.train)
    if wants_shards():
        refuse_unshardable(config)
    adapter: Adapter = built(config.adapter)
    backbone = open_backbone(config.backbone, config.train.device)
    train, images = config.train, len({row.image for row in rows})
    rows = viewed_rows(backbone, rows, config.preparation)
    prompts, size = [row.prompt for row in rows], largest(rows, backbone.image_size)
    given = config
    chosen = unless_unknown("a pass cannot be timed", lambda: texts_to_draw(given, backbone, rows))
    texts, told = (config.train.drawn_texts, chosen) if isinstance(chosen, str) else chosen
    config = with_texts(config, texts)
    prepared = preparation_estimate(
        config, backbone, prompts, len({(row.image, row.view) for row in rows}), size
    )
    units = unless_unknown("an image cannot be timed", lambda: unit_times(config, backbone, prompts, size))
    attach(config.adapter, adapter, backbone)
    if start:
        start.refuse_other_backbone(backbone)
        start.load_into(adapter)
    at_once, an_epoch = train.batch_size * train.accumulation * world_size(), sum(row.repeats for row in rows)
    training: Rows = [
        ("images", f"{images}"),
        ("rows", f"{len(rows)}, {len(rows) / images:g} of each image; an epoch reads {an_epoch}"),
        *([("buckets", _buckets(rows))] if config.dataset.buckets else []),
        ("steps", f"{train.steps} of {at_once} rows"),
        ("epochs", f"{train.steps * at_once / an_epoch:.3g}"),
        ("device", f"{backbone.device}, precision {train.precision}"),
        ("checkpoints", f"every {config.checkpoint.every} steps, the last {config.checkpoint.keep} are kept"),
        ("samples", _every(config.sample.every)),
        ("purity", _every(config.evaluation.every)),
        *([("before training", told)] if told else []),
    ]
    sizes = size_rows(config, backbone, adapter)
    sizes += memory_rows(config, backbone, adapter, prompts, size, prepared)
    stages = run_stages(config, rows)
    sizes += _kept_rows(config, stages, backbone.latent_shape(size[1], size[0]))
    timed = unless_unknown(
        "a pass cannot be timed",
        lambda: time_estimate(
            config, backbone, adapter, prompts, size, None if isinstance(units, str) else units
        ),
    )
    return Plan(training, list(_terms(config)), [*sizes], list(_time(config, stages, timed)))


def _time(
    config: RunConfig, stages: Sequence[PlannedStage], found: Duration | str
) -> Iterable[tuple[str, ...]]:
    """Stages with their units, forward passes and time; below, what a step takes."""
    for number, stage in enumerate(stages, 1):
        name = f"stage {number} of {len(stages)}: {stage.name}"
        told = "" if isinstance(found, str) else duration_of(found.of(stage))
        yield name, f"{stage.units:,} {stage.unit}", _passes(stage), told
    if isinstance(found, str):
        yield "time", found, "", ""
        return
    whole = sum(map(found.of, stages))
    yield "in all", "", f"{sum(stage.units * stage.passes for stage in stages):,.0f}", duration_of(whole)
    passes = f"{found.accumulation} passes of " if found.accumulation > 1 else ""
    for part in found.stages:
        alone = f"{passes}{duration_of(part.seconds)}"
        step = f"{duration_of(found.accumulation * part.seconds)}: " if passes else ""
        yield f"a step, {part.first} to {part.last}", "", "", step + alone


def _passes(stage: PlannedStage) -> str:
    return f"{stage.units * stage.passes:,.0f}" if stage.passes else ""


def _kept_rows(
    config: RunConfig, stages: Sequence[PlannedStage], latent_CHW: tuple[int, int, int]
) -> Iterable[tuple[str, str]]:
    """What the base model draws and later runs read, on disk."""
    channels, height, width = latent_CHW
    met = math.ceil(config.drawing.steps * config.sample.handover)
    values = {
        "class images": channels,
        "counterfactuals": channels + 1 if config.counterfactuals.region == "relevance" else channels,
        "relevance": 1,
        "reference trajectories": met * channels,
    }
    size = sum(stage.units * values.get(stage.name, 0) for stage in stages) * height * width * FLOAT
    if size:
        states = any(stage.name == "reference states" for stage in stages)
        told = f"{size_of(size)}{' and the reference states' if states else ''}"
        yield "kept for other runs", f"{told}, in '{cache_folder()}'"


def duration_of(seconds: float) -> str:
    """Seconds, for people."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{timedelta(seconds=round(seconds))}"


def _buckets(rows: list[Row]) -> str:
    sizes = Counter(row.view.size for row in rows if row.view.size)
    return ", ".join(f"{width}x{height} ({count})" for (width, height), count in sizes.most_common())


def _every(steps: int) -> str:
    return f"every {steps} steps" if steps else "never"


def _terms(config: RunConfig) -> Iterable[tuple[str, ...]]:
    for name, term in config.terms.items():
        reads = ", ".join(sorted(term.needs)) or "nothing more"
        yield name, f"{term.weight:g}", _when(term, config.train), reads


def _when(term: TermConfig, train: TrainSection) -> str:
    active = [step for step in range(1, train.steps + 1) if term.active(train.progress(step - 1))]
    return f"{active[0]} to {active[-1]}" if active else "never"
