"""Terms that start a stage of training: they hear of the start of the run and of their own first step."""

import logging
from functools import partial
from typing import Any

from spf_core.dual_path.parts import Parts
from spf_core.errors import ConfigError
from spf_core.interfaces import AllocatesRank, Staged
from spf_core.training.ema import EMA
from spf_core.training.optimizers import restore_schedule

_log = logging.getLogger("spf")


class Stages:
    """Lets such terms set the adapter's weights, after which optimizer and average begin anew.

    The step size goes on as scheduled. Whether a step is the first of a term follows from the configuration,
    and what a term remembers is in every checkpoint, so that a run may be resumed anywhere.
    """

    def __init__(self, parts: Parts, optimizer: Any, scheduler: Any, average: EMA | None) -> None:
        """Before the optimizer's first step; ConfigError for an adapter that cannot begin anew."""
        self._parts, self._average = parts, average
        self._optimizer, self._scheduler = optimizer, scheduler
        self._terms = {name: term for name, (_, term) in parts.terms.items() if isinstance(term, Staged)}
        self._fresh = optimizer.state_dict() if self._terms else None
        if self._terms and isinstance(parts.adapter, AllocatesRank):
            raise ConfigError(
                f"'{next(iter(self._terms))}' starts a stage with other weights, but this adapter "
                "distributes its ranks over the whole run; choose an adapter whose ranks stay"
            )

    def before_step(self, step: int) -> None:
        """Called before step `step` + 1: every stage that begins with it begins."""
        parts, begun = self._parts, []
        for name, term in self._terms.items():
            if step == 0:
                parts.contracts.call(name, partial(term.begin_run, parts.adapter))
            if self._begins(name, step):
                parts.contracts.call(name, partial(term.begin_stage, parts.adapter))
                begun.append(name)
        if not begun:
            return
        self._optimizer.load_state_dict(self._fresh)
        restore_schedule(self._scheduler, step)
        if self._average:
            self._average.restart()
        _log.info("'%s' starts its stage at step %d", "', '".join(begun), step + 1)

    def _begins(self, name: str, step: int) -> bool:
        term, progress = self._parts.terms[name][0], self._parts.train.progress
        return term.active(progress(step)) and not (step and term.active(progress(step - 1)))
