"""How long a run will take: a few of its passes, really made, on pictures without content."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch

from spf_core.config.run_config import RunConfig
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.texts import text_parameters
from spf_core.interfaces import Adapter, Backbone
from spf_core.interfaces.types import Batch
from spf_core.preparation.relevance import integrated_gradients
from spf_core.runs.cache import cache_override
from spf_core.training.resources.memory_estimate import autocast, empty_batch
from spf_core.training.resources.memory_options import save_memory
from spf_core.training.resources.stage_plan import TRAINING
from spf_core.utils.progress import PlannedStage
from spf_core.utils.prompts import Prompt

PATIENCE = 10.0  # seconds for the passes of a stage
PASSES = 8


@dataclass(frozen=True)
class Stage:
    """Steps in which the same terms count, and the mean seconds of one forward and backward pass."""

    first: int
    last: int
    seconds: float


@dataclass(frozen=True)
class Duration:
    """Of a run's steps; `row_seconds` is a row's forward pass of the denoiser without gradients.

    `unit_seconds` has a unit of each stage that takes no pass of the denoiser.
    """

    stages: tuple[Stage, ...]
    row_seconds: float
    accumulation: int
    unit_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def training(self) -> float:
        """Seconds of all steps."""
        steps = sum((stage.last - stage.first + 1) * stage.seconds for stage in self.stages)
        return self.accumulation * steps

    def of(self, stage: PlannedStage) -> float:
        """Seconds of a planned stage."""
        if stage.name == TRAINING:
            return self.training
        each = stage.passes * self.row_seconds if stage.passes else self.unit_seconds.get(stage.name, 0.0)
        return stage.units * each


def time_estimate(
    config: RunConfig,
    backbone: Backbone,
    adapter: Adapter,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
    unit_seconds: Mapping[str, float] | None = None,
) -> Duration:
    """Measured with the attached adapter, which is not changed; the backbone is then as while it trains.

    No states of the model's own sampling are there: a bank makes steps shorter than this. Raises what the
    step raises.
    """
    parts, batch = build_parts(config.step, backbone, adapter), empty_batch(config, backbone, prompts, size)
    save_memory(backbone, config.train, park=not text_parameters(adapter))
    stages = tuple(
        Stage(first, last, _seconds_of_a_pass(parts, batch, config, config.train.progress(first - 1)))
        for first, last in _stages(config)
    )
    each = row_seconds(config, backbone, batch)
    return Duration(stages, each, config.train.accumulation, unit_seconds or {})


def row_seconds(config: RunConfig, backbone: Backbone, batch: Batch, passes: int = PASSES) -> float:
    """Seconds of a row's forward pass of the denoiser, of a batch without gradients; the mean of `passes`."""
    return _seconds(lambda: _drawing(backbone, batch, config), backbone.device, passes) / len(batch.ids)


def unit_times(
    config: RunConfig, backbone: Backbone, prompts: Sequence[Prompt], size: tuple[int, int]
) -> dict[str, float]:
    """Seconds of a unit of the stages that take no pass of the denoiser: an image, without content.

    The backbone has no adapter. Raises what these stages raise.
    """
    (width, height), device = size, backbone.device
    pixels = torch.zeros(1, 3, height, width, device=device)
    found = {"encoding images": _seconds(lambda: backbone.encode_images(pixels), device)}
    if config.counterfactuals.enabled:
        black = backbone.encode_images(pixels)
        target_ND = backbone.encode_prompts(prompts[:1], with_target=True).target_embed_BD

        def relevance() -> None:
            with cache_override({}), autocast(config.train.precision, device):
                integrated_gradients(backbone, black, black + 1, target_ND)

        @torch.no_grad()
        def embedding() -> None:
            with autocast(config.train.precision, device):
                backbone.embed_images(backbone.decode(black))

        found |= {
            "relevance": _seconds(relevance, device),
            "embedding purified images": _seconds(embedding, device),
        }
    return found


def _stages(config: RunConfig) -> list[tuple[int, int]]:
    """First and last step of each stage, counted from 1."""
    steps = config.train.steps

    def active(step: int) -> list[str]:
        return [name for name, term in config.terms.items() if term.active(config.train.progress(step - 1))]

    grouped = [list(members) for _, members in groupby(range(1, steps + 1), key=active)]
    return [(members[0], members[-1]) for members in grouped]


def _seconds_of_a_pass(parts: Parts, batch: Batch, config: RunConfig, progress: float) -> float:
    generator = torch.Generator().manual_seed(0)

    def make() -> None:
        with autocast(config.train.precision, parts.backbone.device):
            total = dual_path_step(parts, batch, progress, generator=generator)[1].total
        if total.requires_grad:
            torch.autograd.backward(total)
        for parameter in parts.adapter.parameters():
            parameter.grad = None

    return _seconds(make, parts.backbone.device)


@torch.no_grad()
def _drawing(backbone: Backbone, batch: Batch, config: RunConfig) -> None:
    timesteps = backbone.noise.at(0.5, len(batch.rows)).to(backbone.device)
    with autocast(config.sample.precision, backbone.device):
        backbone.predict(batch.latents_BCHW, timesteps, batch.complete)


def _seconds(make: Callable[[], object], device: torch.device, passes: int = PASSES) -> float:
    """Mean of a few; the first does not count where the others are quick, as it takes memory and chooses."""

    def timed() -> float:
        started = time.perf_counter()
        make()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    first, times = timed(), list[float]()
    while len(times) < passes and first + sum(times) < PATIENCE:
        times.append(timed())
    return sum(times) / len(times) if times else first
