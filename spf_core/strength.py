"""The strength of a run as a calibrated slider: what each strength draws of the target, and what it costs.

CLIP alone judges, so that it works on photographs: response as in `calibration`, and drift, how far pictures
of the base text move away from the original's, over how far re-seeding moves them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import torch
from torch import Tensor

from spf_core.atomic import atomic_write_text
from spf_core.calibration import embedded, spread
from spf_core.errors import ConfigError
from spf_core.export.facts import STRENGTH
from spf_core.export.files import write_weights
from spf_core.progress import Progress, silent
from spf_core.prompts import Prompt
from spf_core.runs import OpenRun, trained_weights
from spf_core.sampling import Opening, sample_images

STRENGTHS_FILE = "strengths.json"


@dataclass(frozen=True)
class Setting:
    """One strength: its response as a share of the highest, and drift (0 none, 1 as much as another seed)."""

    strength: float
    response: float
    drift: float


@dataclass(frozen=True)
class Slider:
    """All strengths that were tried, rising, and the one that is recommended."""

    settings: tuple[Setting, ...]
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
) -> Slider:
    """The lowest strength that keeps a share `keep` of the highest response over `strengths`.

    Draws `count` of the prompts, each with a noise of its own. ConfigError when no strength draws the target.
    """
    backbone, sample, rising = run.backbone, run.config.sample, sorted(set(strengths))
    prompts = spread(prompts, count)
    base, complete = [each.base_text for each in prompts], [each.complete_text for each in prompts]
    seeds, others = range(len(prompts)), range(len(prompts), 2 * len(prompts))
    target_BD = backbone.encode_prompts(prompts, with_target=True).target_embed_BD
    draw = partial(sample_images, backbone, options=sample, opening=Opening(base, run.adapter))
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
        found.append(Setting(strength, _mean_cosine(asked, target_BD) - nothing, drift))
        progress("calibrating the strength", number, len(rising))
    highest = max(each.response for each in found)
    if highest <= 0:
        raise ConfigError(
            f"no strength of {', '.join(f'{each:g}' for each in rising)} draws more of the target than the "
            "original model; train longer, or try higher ones with --strengths"
        )
    shares = tuple(replace(each, response=each.response / highest) for each in found)
    return Slider(shares, next(each.strength for each in shares if each.response >= keep))


def store(run: OpenRun, slider: Slider) -> None:
    """Write the recommendation into the metadata of the run's files, and all of it to strengths.json."""
    metadata = trained_weights(run.path)[1] | {STRENGTH: f"{slider.recommended:g}"}
    write_weights(run.path, run.adapter, run.backbone, run.config, metadata)
    atomic_write_text(run.path / STRENGTHS_FILE, json.dumps(asdict(slider), indent=2))


def _mean_cosine(one_BD: Tensor, other_BD: Tensor) -> float:
    return float((one_BD * other_BD).sum(1).mean())
