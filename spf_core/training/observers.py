"""What looks on between steps: trackers, checkpoints, sample grids, and the hooks of plugins."""

import logging
from collections.abc import Callable
from typing import Any

from PIL.Image import Image

from spf_core.errors import NonFiniteError
from spf_core.training.samples import save_samples
from spf_core.training.trainer import Trainer

Observer = Callable[[Trainer, dict[str, Any]], None]
_log = logging.getLogger("spf")


def observers_of(trainer: Trainer) -> list[Observer]:
    """Who is called after each step with the trainer and the step's log line, in order.

    The main process does everything. Where the others hold shards they gather with it, and write nothing;
    else there is nothing for them to do.
    """
    gather: list[Observer] = [save_checkpoint, draw_samples]
    if trainer.group.main:
        return [report_step, *gather, call_hooks]
    return gather if trainer.group.sharded else []


def report_step(trainer: Trainer, line: dict[str, Any]) -> None:
    """Show the step in the progress bar, and give its numbers to the trackers."""
    if trainer.trackers:
        trainer.trackers.step(line)
    shown = {name: term["weighted"] for name, term in line["terms"].items()}
    trainer.progress("training", trainer.step, trainer.config.train.steps, loss=line["loss"], **shown)


def save_checkpoint(trainer: Trainer, line: dict[str, Any]) -> None:
    """Write a checkpoint every so often, and at the end."""
    if trainer.step % trainer.config.checkpoint.every == 0 or trainer.step == trainer.config.train.steps:
        trainer.save()


def draw_samples(trainer: Trainer, line: dict[str, Any]) -> None:
    """Draw sample grids every so often."""
    sample = trainer.config.sample
    if sample.every and trainer.step % sample.every == 0:
        trainer.track({}, _pictures(trainer))


def _pictures(trainer: Trainer) -> dict[str, Image]:
    folder, seed = trainer.run / "samples" if trainer.group.main else None, trainer.config.train.seed
    try:
        with trainer.averaged():
            return save_samples(
                folder, trainer.step, trainer.parts, trainer.rows, trainer.config.sample, seed
            )
    except NonFiniteError as error:  # the weights are sound, and training needs no picture
        _log.warning("step %d has no sample grid: %s", trainer.step, error)
        return {}


def call_hooks(trainer: Trainer, line: dict[str, Any]) -> None:
    """Call `spf_after_step` of every plugin."""
    trainer.plugins.call("spf_after_step", fit=trainer.as_fit)
