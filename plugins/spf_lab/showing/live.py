"""Keeps `RUN/index.html` up to date while a run trains: looks on, changes nothing, and never stops it."""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakKeyDictionary

from spf_core.interfaces import Fit
from spf_core.utils.atomic import atomic_write_text
from spf_lab.showing.training_page import Progress, training_page

PAGE = "index.html"
OFTEN = 60.0  # seconds after which a page is old, whatever the steps say
SOON, LATE = 5, 120  # seconds between two looks of a browser
_log = logging.getLogger("spf")


@dataclass
class _Watch:
    """When this process began to train, and when it last wrote the page."""

    step: int
    began: float = field(default_factory=time.monotonic)
    written: float = float("-inf")
    failed: bool = False


_watches: "WeakKeyDictionary[Fit, _Watch]" = WeakKeyDictionary()


def show_training(fit: Fit) -> None:
    """Write the page after this step, where there is something new to see."""
    watch = _watches.setdefault(fit, _Watch(fit.step))
    config, now = fit.config, time.monotonic()
    marks = (config.sample.every, config.checkpoint.every, config.evaluation.every)
    new = fit.step == config.train.steps or any(every and fit.step % every == 0 for every in marks)
    if not new and now - watch.written < OFTEN:
        return
    done, left = fit.step - watch.step, config.train.steps - fit.step
    pace = (now - watch.began) / done if done else None
    seconds = None if pace is None else pace * left
    refresh = SOON if pace is None else round(min(max(pace * (config.sample.every or 100), SOON), LATE))
    stage = "training" if left else "trained; the weights are being written"
    _write(fit, watch, Progress(stage, fit.step, config.train.steps, seconds, refresh, datetime.now()))


def show_finished(fit: Fit) -> None:
    """Write the page of a run whose weights are written."""
    watch = _watches.setdefault(fit, _Watch(fit.step))
    steps = fit.config.train.steps
    _write(fit, watch, Progress("finished", fit.step, steps, None, None, datetime.now()))


def _write(fit: Fit, watch: _Watch, at: Progress) -> None:
    try:
        target = next((text.target_text for text in fit.prompts if text.target_text), fit.run.resolve().name)
        atomic_write_text(fit.run / PAGE, training_page(fit.run, target, at))
    except Exception as error:  # a page is no reason to end a training
        if not watch.failed:
            reason = getattr(error.__cause__, "strerror", None) or " ".join(str(error).split())
            _log.warning(
                "'%s' cannot be written (%s); the training goes on without it", fit.run / PAGE, reason
            )
        watch.failed = True
    watch.written = time.monotonic()
