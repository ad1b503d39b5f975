"""The device of a run and its trackers: Accelerate, with TensorBoard and Weights & Biases."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import ProjectConfiguration
from PIL import Image

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import TrainSection
from spf_core.errors import ConfigError
from spf_core.utils.optional_imports import optional

PROJECT, FOLDER = "spf", "trackers"
_MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}


def make_accelerator(train: TrainSection, device: torch.device, run: Path) -> Accelerator:
    """Accelerate for this device; ConfigError where it lacks the precision or a tracker's library."""
    if train.precision == "fp16" and device.type == "cpu":
        raise ConfigError("train.precision=fp16 needs a GPU; use bf16 or no on the CPU")
    require_trackers(train)
    AcceleratorState._reset_state()  # or it refuses a process's second run where that has another precision
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=train.precision,
        log_with=list(train.trackers) or None,
        project_config=ProjectConfiguration(str(run), logging_dir=str(run / FOLDER)),
    )


def require_trackers(train: TrainSection) -> None:
    """ConfigError when a tracker's library is not installed."""
    for name in train.trackers:
        optional(_MODULES[name], name, f"train.trackers={name}")


class Trackers:
    """The trackers of a run; without any, every call does nothing."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def step(self, line: Mapping[str, Any]) -> None:
        """Log the numbers of a line of metrics.jsonl."""
        terms = {f"terms/{name}": term["raw"] for name, term in line["terms"].items()}
        self.log(line["step"], {**line, **terms})

    def log(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Log those of the values that are numbers with a fraction, by name."""
        found = {name: value for name, value in numbers.items() if isinstance(value, float)}
        if found:
            self._accelerator.log(found, step=step)

    def pictures(self, step: int, pictures: Mapping[str, Image.Image]) -> None:
        """Log sample grids by name."""
        for tracker in self._accelerator.trackers:
            form = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            arrays = {f"samples/{name}": np.asarray(picture)[None] for name, picture in pictures.items()}
            tracker.log_images(arrays, step=step, **form)


@contextmanager
def tracked(accelerator: Accelerator, config: RunConfig, run: Path, first_step: int) -> Iterator[Trackers]:
    """Trackers that listen within the context, from the step after `first_step` on.

    TensorBoard drops what a killed process wrote beyond it; Weights & Biases, in whatever mode its
    environment asks for, goes on with the same run. ConfigError when it refuses to start.
    """
    if not config.train.trackers:
        yield Trackers(accelerator)
        return
    place = hashlib.sha256(str(run.resolve()).encode()).hexdigest()[:16]
    options = {
        "tensorboard": {"purge_step": first_step + 1},
        "wandb": {"dir": str(run), "name": run.name, "id": place, "resume": "allow"},
    }
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    try:
        accelerator.init_trackers(PROJECT, _flat(config.model_dump(mode="json", exclude={"data"})), options)
    except Exception as error:
        reason = " ".join(str(error).split())
        names = ", ".join(config.train.trackers)
        raise ConfigError(
            f"train.trackers={names} cannot start ({type(error).__name__}: {reason}); leave it out, or, for "
            "wandb, log in or set WANDB_MODE=offline"
        ) from error
    try:
        yield Trackers(accelerator)
    finally:
        for tracker in accelerator.trackers:  # `end_training` would also end the processes' connection
            tracker.finish()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their whole names, such as `train.steps`; lists as text."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, int | float) else str(value)
    return flat
