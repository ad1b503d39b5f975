"""Calibration of the strength: how much of the target each strength shows, and what else it changes.

Where a suite has judges they decide (`evaluation.judged_strength`). Here CLIP alone does, so that it works on
photographs: response as in `calibration`, and drift, how far pictures of the base text move away from the
original's, over how far re-seeding moves them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.export.facts import STRENGTH, STRENGTH_BY
from spf_core.export.files import write_weights
from spf_core.runs.run import OpenRun, trained_weights
from spf_core.sampling.handover import embedded, spread
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt
from spf_lab.evaluation.statistics import Estimate

STRENGTHS_FILE = "strengths.json"


@dataclass(frozen=True)
class StrengthResponse:
    """One strength: its response as a share of the highest, and drift (0 none, 1 as much as another seed)."""

    strength: float
    response: float
    drift: float


@dataclass(frozen=True)
class StrengthScores:
    """One strength by the judges of a suite."""

    strength: float
    sps: Estimate
    effect: Estimate
    spi: Estimate
    hit_rate: Estimate
    base_leak: Estimate

    @classmethod
    def measures(cls) -> list[str]:
        """Names of what was measured."""
        return [each.name for each in fields(cls)[1:]]


@dataclass(frozen=True)
class StrengthCalibration:
    """All strengths that were tried, rising, and the one that is recommended.

    `measure` is what it is recommended by, `basis` what that was measured on.
    """

    measure: Literal["response", "sps"]
    basis: str
    settings: tuple[StrengthResponse, ...] | tuple[StrengthScores, ...]
    recommended: float


@torch.no_grad()
def calibrate_strength(
    run: OpenRun,
    prompts: Sequence[Prompt],
    strengths: Sequence[float],
    *,
    keep: float,
    count: int,
    progress: Progress = silent,
) -> StrengthCalibration:
    """The lowest strength that keeps a share `keep` of the highest response over `strengths`.

    Draws `count` of the prompts, each with a noise of its own. ConfigError when no strength draws the target.
    """
    backbone, sample, rising = run.backbone, run.config.sample, sorted(set(strengths))
    prompts = spread(prompts, count)
    base, complete = [each.base_text for each in prompts], [each.complete_text for each in prompts]
    seeds, others = range(len(prompts)), range(len(prompts), 2 * len(prompts))
    target_BD = backbone.encode_prompts(prompts, with_target=True).target_embed_BD
    draw = partial(sample_images, backbone, options=sample, before_handover=BeforeHandover(base, run.adapter))
    with run.adapter.disabled():
        original, again = (embedded(backbone, draw(base, each)) for each in (seeds, others))
    nothing, reseed = _mean_cosine(original, target_BD), 1 - _mean_cosine(original, again)
    found = []
    for number, strength in enumerate(rising, 1):
        run.adapter.scale(strength)
        try:
            asked = embedded(backbone, draw(complete, seeds, editor=run.editor))
            unasked = embedded(backbone, draw(base, seeds))
        finally:
            run.adapter.scale(1.0)
        drift = (1 - _mean_cosine(original, unasked)) / max(reseed, 1e-6)
        found.append(StrengthResponse(strength, _mean_cosine(asked, target_BD) - nothing, drift))
        progress("calibrating the strength", number, len(rising))
    highest = max(each.response for each in found)
    if highest <= 0:
        raise ConfigError(
            f"no strength of {', '.join(f'{each:g}' for each in rising)} shows more of the target than the "
            "base model; train longer, or try higher ones with --strengths"
        )
    shares = tuple(replace(each, response=each.response / highest) for each in found)
    recommended = next(each.strength for each in shares if each.response >= keep)
    return StrengthCalibration("response", f"{len(prompts)} training texts", shares, recommended)


def store(run: OpenRun, slider: StrengthCalibration) -> None:
    """Write the recommendation into the metadata of the run's files, and all of it to strengths.json."""
    recommended = {STRENGTH: f"{slider.recommended:g}", STRENGTH_BY: slider.measure}
    metadata = trained_weights(run.path)[1] | recommended
    write_weights(run.path, run.adapter, run.backbone, run.config, metadata)
    atomic_write_text(run.path / STRENGTHS_FILE, json.dumps(asdict(slider), indent=2))


def _mean_cosine(one_BD: Tensor, other_BD: Tensor) -> float:
    return float((one_BD * other_BD).sum(1).mean())
