"""`--quick`: a layer of settings below the user's own that takes less time for less quality. Torch-free."""

from collections.abc import Mapping
from typing import Any

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import SampleSection, TrainSection


def quick_settings(base: Mapping[str, Any]) -> dict[str, Any]:
    """Half of the steps and of the sampler steps before training, one text of each image, no calibration.

    `base` holds the settings of preset and backbone.
    """
    steps = _given(base, "train", "steps", TrainSection().steps)
    sampler_steps = _given(base, "sample", "steps", SampleSection().steps)
    return {
        "train": {
            "steps": (steps + 1) // 2,
            "drawn_texts": 1,
            "drawing_steps": (sampler_steps + 1) // 2,
        },
        "calibration": {"enabled": False},
    }


def given_up(whole: RunConfig, quick: RunConfig) -> str:
    """What `quick` gives up compared with `whole`, in words; empty where both do the same."""
    train, before = quick.train, whole.train
    lost = []
    if train.steps < before.steps:
        lost.append(f"{train.steps} steps in place of {before.steps}")
    if quick.draws_images:
        texts = before.drawn_texts or before.text_variants
        if train.drawn_texts is not None and train.drawn_texts < texts:
            lost.append(f"images before training for {train.drawn_texts} of {texts} texts of each image")
        if quick.drawing.steps < whole.drawing.steps:
            lost.append(f"{quick.drawing.steps} sampler steps for these in place of {whole.drawing.steps}")
    if whole.calibration.enabled and not quick.calibration.enabled:
        lost.append("no calibration of the handover")
    return ", ".join(lost)


def _given(base: Mapping[str, Any], section: str, option: str, default: int) -> int:
    values = base.get(section)
    found = values.get(option, default) if isinstance(values, Mapping) else default
    return found if isinstance(found, int) else default
