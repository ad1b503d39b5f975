"""The device of a run by Accelerate, and the trackers that listen to it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image

from spf_core.config.run_config import RunConfig
from spf_core.config.sections import TrainSection
from spf_core.errors import ConfigError, PluginError, SpfError
from spf_core.interfaces import Tracker
from spf_core.plugins.building import built
from spf_core.plugins.configs import TrackerConfig, label
from spf_core.plugins.containment import contained

_log = logging.getLogger("spf")


def make_accelerator(train: TrainSection, device: torch.device) -> Accelerator:
    """Accelerate for this device; ConfigError where it lacks the precision."""
    if train.precision == "fp16" and device.type == "cpu":
        raise ConfigError("train.precision=fp16 needs a GPU; use bf16 or no on the CPU")
    AcceleratorState._reset_state()  # or it refuses a process's second run where that has another precision
    return Accelerator(cpu=device.type == "cpu", mixed_precision=train.precision)


def require_trackers(train: TrainSection) -> None:
    """Build every tracker; ConfigError when its library is not installed, PluginError as of `built`."""
    for config in train.trackers:
        built(config)


class Trackers:
    """The trackers of a run; without any, every call does nothing.

    One that fails is left out from then on, with a warning: training needs none.
    """

    def __init__(self, trackers: list[tuple[TrackerConfig, Tracker]]) -> None:
        self._listening = trackers

    def step(self, line: Mapping[str, Any]) -> None:
        """Log the numbers of a line of metrics.jsonl."""
        terms = {f"terms/{name}": term["raw"] for name, term in line["terms"].items()}
        self.log(line["step"], {**line, **terms})

    def log(self, step: int, numbers: Mapping[str, Any]) -> None:
        """Log those of the values that are numbers with a fraction, by name."""
        found = {name: value for name, value in numbers.items() if isinstance(value, float)}
        if found:
            self._give(step, lambda tracker: tracker.log(step, dict(found)))

    def pictures(self, step: int, pictures: Mapping[str, Image.Image]) -> None:
        """Log sample grids by name."""
        if pictures:
            self._give(step, lambda tracker: tracker.pictures(step, dict(pictures)))

    def _give(self, step: int, call: Callable[[Tracker], None]) -> None:
        for pair in list(self._listening):
            config, tracker = pair
            try:
                _contained(config, "fails", call, tracker)
            except PluginError as error:
                self._listening.remove(pair)
                _log.warning("%s; from step %d on it is left out, and the run goes on", error, step)


@contextmanager
def tracked(config: RunConfig, run: Path, first_step: int) -> Iterator[Trackers]:
    """Trackers that listen within the context, from the step after `first_step` on.

    PluginError names the one that refuses to start.
    """
    settings = settings_of(config)
    started: list[tuple[TrackerConfig, Tracker]] = []
    try:
        for each in config.train.trackers:
            tracker: Tracker = built(each)
            _contained(each, "cannot start", lambda it: it.start(run, settings, first_step), tracker)
            started.append((each, tracker))
        yield Trackers(list(started))
    finally:
        for each, tracker in started:
            try:
                _contained(each, "cannot finish", lambda it: it.finish(), tracker)
            except PluginError as error:  # the weights are written already, or another error is on its way
                _log.warning("%s", error)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings by whole names, such as `train.steps`, without the data's place."""
    return _flat(config.model_dump(mode="json", exclude={"data"}))


def _contained(config: TrackerConfig, what: str, call: Callable[[Tracker], None], tracker: Tracker) -> None:
    """Call the tracker; PluginError names it for whatever it raises. Random states are put back."""
    try:
        contained(lambda: call(tracker), package=type(config).__module__.partition(".")[0])
    except SpfError as error:
        raise PluginError(f"{label(config)} {what}: {error}") from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers as they are, and everything else as text."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, int | float) else str(value)
    return flat
