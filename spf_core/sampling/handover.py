"""How late the tuned model takes over from the original: as late as the target is still drawn.

Until the handover every picture is the original's, so that a later one is purer; too late, the picture
is settled and the target comes no more. Where that is depends on the target: glasses are a detail, a hat
is not.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from spf_core.config.sections import CalibrationSection, SampleSection
from spf_core.interfaces import Adapter, Backbone, PromptEditor
from spf_core.sampling.sampler import BeforeHandover, sample_images
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.pixels import to_pixels
from spf_core.utils.progress import Progress, silent
from spf_core.utils.prompts import Prompt

CALIBRATION_FILE = "calibration.json"
SPACING = 0.05  # of the schedule, between the levels that are tried: a step of a sampler of 20


class Calibration(BaseModel):
    """The chosen handover, and the target's response at every level that was tried."""

    model_config = ConfigDict(frozen=True)

    handover: float
    responses: dict[float, float]
    seconds: float

    def write(self, run: Path) -> None:
        """Write RUN/calibration.json, for people and for the count of costs."""
        atomic_write_text(run / CALIBRATION_FILE, self.model_dump_json(indent=2))


def read_calibration(run: Path) -> Calibration | None:
    """What RUN/calibration.json says, None where there is none; ValueError when it is damaged."""
    file = run / CALIBRATION_FILE
    return Calibration.model_validate_json(file.read_bytes()) if file.is_file() else None


@torch.no_grad()
def calibrate_handover(
    backbone: Backbone,
    adapter: Adapter,
    editor: PromptEditor | None,
    prompts: Sequence[Prompt],
    options: CalibrationSection,
    sample: SampleSection,
    *,
    progress: Progress = silent,
) -> Calibration:
    """The latest handover that keeps a share `keep` of the target's response at `sample.handover`.

    The response at a level h is the mean of cos(E_I(x_h), E_T(target)) - cos(E_I(x_0), E_T(target)), with x_h
    drawn by the tuned model below h and x_0 by the original alone, from the same base texts and noise. It is
    taken to rise with h and searched by bisection; where nothing responds, `sample.handover` stays.
    """
    started = time.perf_counter()
    rounds = calibration_rounds(sample.handover)
    progress("calibrating the handover", 0, rounds)
    prompts = spread(prompts, options.prompts)
    base, complete = [each.base_text for each in prompts], [each.complete_text for each in prompts]
    seeds = range(len(prompts))
    target_BD = backbone.encode_prompts(prompts, with_target=True).target_embed_BD
    similarity = partial(_similarity, backbone, target_BD)
    with adapter.disabled():
        nothing = similarity(sample_images(backbone, base, seeds, sample))
    progress("calibrating the handover", 1, rounds)
    levels, responses = _levels(sample.handover), dict[float, float]()

    def response(handover: float) -> float:
        if handover not in responses:
            options = sample.model_copy(update={"handover": handover})
            before_handover = BeforeHandover(base, adapter)
            drawn = sample_images(
                backbone, complete, seeds, options, before_handover=before_handover, editor=editor
            )
            responses[handover] = similarity(drawn) - nothing
            progress("calibrating the handover", min(1 + len(responses), rounds), rounds)
        return responses[handover]

    full = response(levels[-1])
    chosen = bisect_left(levels, options.keep * full, key=response) if full > 0 else len(levels) - 1
    progress("calibrating the handover", rounds, rounds)
    seconds = time.perf_counter() - started
    return Calibration(handover=levels[chosen], responses=responses, seconds=seconds)


def calibration_rounds(handover: float) -> int:
    """How often all prompts are drawn at most: without the tuned model, at `handover`, and by bisection."""
    return 2 + len(_levels(handover)).bit_length()


def spread(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """`count` prompts from all over the list; all of them when there are fewer."""
    chosen = np.linspace(0, len(prompts) - 1, min(count, len(prompts))).round().astype(int)
    return [prompts[i] for i in chosen]


def _levels(highest: float) -> list[float]:
    """Rising multiples of the spacing below `highest`, and `highest` itself."""
    below = [round(SPACING * i, 6) for i in range(1, round(1 / SPACING) + 1)]
    return [*(level for level in below if level < highest), highest]


def _similarity(backbone: Backbone, target_BD: Tensor, pictures: Sequence[Image]) -> float:
    """Mean cosine of the pictures' embeddings with those of their targets."""
    return float((embedded(backbone, pictures) * target_BD).sum(1).mean())


def embedded(backbone: Backbone, pictures: Sequence[Image]) -> Tensor:
    """E_I of pictures, B D."""
    pixels = to_pixels(np.asarray(picture.convert("RGB")) for picture in pictures)
    return backbone.embed_images(pixels.to(backbone.device))
