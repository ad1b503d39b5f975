"""What trains: the parts of a run, and one optimizer step."""

import inspect
import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import ref

import torch
from PIL.Image import Image
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.texts import text_parameters
from spf_core.errors import RunError, quoted
from spf_core.export.facts import weights_metadata
from spf_core.interfaces import Adapter, AllocatesRank, Backbone, Fit, StepState
from spf_core.interfaces.types import LossReport
from spf_core.plugins.answers import named
from spf_core.plugins.building import attach, built
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import prepare, viewed_rows
from spf_core.runs.cache import count_saved_time
from spf_core.runs.run import open_backbone
from spf_core.sampling.sampler import refuse_more_steps
from spf_core.training.ema import EMA
from spf_core.training.nan_guard import Where, faulty_gradient, refuse_non_finite
from spf_core.training.optimizers import make_optimizer, make_schedule
from spf_core.training.resources.drawn_texts import texts_to_draw, with_texts
from spf_core.training.resources.memory_estimate import check_attaching
from spf_core.training.resources.memory_options import save_memory, save_time
from spf_core.training.resources.stage_plan import run_stages
from spf_core.training.resume import schedule_rule
from spf_core.training.resume_state import TrainState, refuse_other_base, shared_memory
from spf_core.training.row_order import Order, generator_of_step
from spf_core.training.run_log import Passed, mean_passes, passed_of, terms_line
from spf_core.training.sharding import in_shards, refuse_unshardable, total
from spf_core.training.stages import Stages
from spf_core.training.trackers import Trackers, make_accelerator, require_trackers
from spf_core.training.warm_start import WARM_START_HASH, WarmStart
from spf_core.utils.devices import peak_memory_mib
from spf_core.utils.distributed import SINGLE_PROCESS, ProcessGroup
from spf_core.utils.interrupts import Interrupts
from spf_core.utils.progress import Progress, announce
from spf_core.utils.prompts import Prompt

_OF_FIT = sorted({*inspect.get_annotations(Fit), *(name for name in vars(Fit) if not name.startswith("_"))})
_log = logging.getLogger("spf")


class Trainer:
    """Holds the parts of a run and moves them from step to step; satisfies `interfaces.Fit`."""

    def __init__(
        self,
        config: RunConfig,
        run: Path,
        rows: list[Row],
        progress: Progress,
        plugins: Plugins | None = None,
        start: WarmStart | None = None,
        group: ProcessGroup = SINGLE_PROCESS,
        interrupts: Interrupts | None = None,
        *,
        bounded: bool = False,
        resume: bool = False,
    ) -> None:
        """Load the model, prepare the rows, attach the adapter; SpfErrors name what cannot be used.

        `bounded` chooses `train.drawn_texts` by the time that drawing takes here, where it is not given.
        """
        self.config, self.run, self.progress, self.plugins = config, run, progress, plugins or Plugins()
        self.group, self.interrupts = group, interrupts or Interrupts()
        self.start_hash = start.hash if start else None
        # What can be refused without the model is refused before it is loaded, and before rows are prepared.
        built(config.optimizer)
        require_trackers(config.train)
        if group.sharded:
            refuse_unshardable(config)
        self.backbone: Backbone = open_backbone(config.backbone, config.train.device)
        refuse_more_steps(self.backbone, config.sample)
        if start:
            start.refuse_other_backbone(self.backbone)
        if resume:
            refuse_other_base(run, self.backbone)
        self.accelerator = make_accelerator(config.train, self.backbone.device)
        parts = build_parts(config.step, self.backbone, built(config.adapter))
        if config.editor:  # sampling builds it again, when the run is trained
            built(config.editor)
        # On a copy: the true attaching comes after the preparation, which may take long.
        check_attaching(config.adapter, self.backbone)
        config = self.config = self._planned(rows, bounded=bounded)
        started = time.perf_counter()
        # Rows are prepared by the base model, so before the adapter is attached. The main process goes first,
        # so that the others find in the cache what they would compute again.
        with group.one_after_another(), count_saved_time() as spared:
            self.rows, states = prepare(
                self.backbone,
                rows,
                config.preparation,
                parts.reference,
                autocast=self.accelerator.autocast,
                progress=progress,
            )
        # What the cache spared counts, so that a run's cost does not depend on who ran before.
        self.preparation_seconds = time.perf_counter() - started + spared.seconds
        save_memory(self.backbone, config.train, park=not config.adapter.tunes_texts)
        self.order = Order(self.rows.buckets, config.train.batch_size, config.train.seed)
        self.adapter = self._attached(parts.adapter, start)
        self.parts = replace(parts, adapter=self.adapter, states=states)
        decay = config.train.ema_decay
        self.average = None if decay is None else EMA(self.adapter, decay)
        self._make_optimizer()
        self.step = 0
        self.event: str | None = None  # for the next line of the log
        self.trackers: Trackers | None = None  # while the run fits, on the main process

    def _planned(self, rows: Sequence[Row], *, bounded: bool) -> RunConfig:
        """The configuration, if `bounded` with as many drawn texts as the main process has time for.

        The stages of the run are announced.
        """
        config, viewed = self.config, viewed_rows(self.backbone, rows, self.config.preparation)
        if bounded:
            chosen = texts_to_draw(config, self.backbone, viewed) if self.group.main else None
            texts, told = self.group.each(chosen)[0]
            config = with_texts(config, texts)
            if told and self.group.main:
                _log.info("%s", told)
        announce(self.progress, run_stages(config, viewed))
        return config

    def _attached(self, adapter: Adapter, start: WarmStart | None) -> Adapter:
        """The adapter on the denoiser, with the same first weights in every process."""
        torch.manual_seed(self.config.train.seed)  # PEFT takes LoRA's A from the global generator
        if self.group.sharded:
            adapter = in_shards(adapter, self.config, self.accelerator)
        attach(self.config.adapter, adapter, self.backbone)
        save_time(self.backbone, self.config.train)
        if isinstance(adapter, AllocatesRank):
            adapter.start(self.config.train.steps)
        if start:
            start.load_into(adapter)
        self.group.same(adapter.parameters())
        return adapter

    def _make_optimizer(self) -> None:
        options, train = self.config.optimizer, self.config.train
        self.parameters = list(self.adapter.parameters())
        optimizer = make_optimizer(options, self.parameters, text_parameters(self.adapter))
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.scheduler = make_schedule(options, optimizer, train.steps, train.planned_steps)
        self.stages = Stages(self.parts, self.optimizer, self.scheduler, self.average)
        self.state = TrainState(
            self.parts, self.average, options, self.optimizer, self.scheduler, self.accelerator.scaler
        )

    def resume(self) -> None:
        """Restore the newest intact checkpoint; a run that has none yet starts from the beginning."""
        found = self.state.load(self.run, self.group)
        if found is None:
            return
        self.step, steps = found.step, self.config.train.steps
        if self.step > steps:
            raise RunError(
                f"train.steps is {steps}, but the newest checkpoint in '{self.run}' is of step {self.step}; "
                f"give --steps {self.step} or more"
            )
        self.start_hash = found.metadata.get(WARM_START_HASH, self.start_hash)
        before = found.length or self.config.train.extended_from or steps
        if self.step <= before < steps:
            rule = schedule_rule(self.config.optimizer, steps)
            self.event = f"extended from {before} to {steps} steps: {rule}"
        self.group.warn_of_other_count(found.metadata)

    @cached_property
    def as_fit(self) -> Fit:
        """The trainer as hooks see it, always one object: they read the members of `Fit`, and set none."""
        return _ReadOnlyFit(self)

    @property
    def prompts(self) -> Sequence[Prompt]:
        """The training texts, one for each row."""
        return self.rows.prompts

    def averaged(self) -> AbstractContextManager[None]:
        """Within the context the adapter has the weights that the run would end with now."""
        return self.average.shown() if self.average else nullcontext()

    def track(self, numbers: Mapping[str, Any], images: Mapping[str, Image]) -> None:
        """Give numbers and pictures of this step to the run's trackers, where it has some."""
        values = {name: _number(name, value) for name, value in numbers.items()}
        for name, image in images.items():
            if not isinstance(image, Image):
                raise TypeError(f"track() gets {quoted(image)} as picture '{name}'; give a picture of PIL")
        if self.trackers:
            self.trackers.log(self.step, values)
            self.trackers.pictures(self.step, images)

    def train_step(self) -> dict[str, Any]:
        """One optimizer step: forward passes, backward, the finite check, clipping; returns its log line."""
        started = time.perf_counter()
        # First, as a term that begins here may set the weights and clear the optimizer.
        self.stages.before_step(self.step)
        with shared_memory(self.parts, self.group):
            mine = self._passes()
        # All wait here, so a process that failed ends every other before gradients are mixed. Who was told to
        # stop travels with the numbers: the step costs no second exchange.
        passed, pressed = zip(*self.group.each((mine, self.interrupts.pressed)), strict=True)
        if self.group.count > 1:
            self.interrupts.agree(pressed)
        self.group.average_gradients(self.parameters)  # before clipping, which is of the whole batch's norm
        norm = total(self.accelerator.clip_grad_norm_(self.parameters, self.config.optimizer.clip_norm))
        self._refuse_gradient(norm, mine.where)  # before the optimizer, whose moments would keep the NaN
        with named(self.config.optimizer, "failed in the step"):
            learning_rate = self.config.optimizer.step_size(self.optimizer.param_groups[0])
            self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        if self.average:
            self.average.update()
        if isinstance(self.adapter, AllocatesRank):
            self.adapter.after_step(self.step)  # it scores factors by their gradients, which still stand
        self.optimizer.zero_grad()
        return self._line(mean_passes(passed), norm, learning_rate, time.perf_counter() - started)

    def _passes(self) -> Passed:
        """The forward and backward passes of a step; returns the numbers of the last."""
        train, group = self.config.train, self.group
        for micro in range(train.accumulation):
            state, report = self._forward(micro)
            passed = passed_of(report, Where(state.batch.ids, state.noised.timesteps_B.cpu()))
            if not all(map(math.isfinite, passed.values.values())):
                # It is named first: where the prediction is not finite, no term is to blame.
                prediction = {"prediction of the denoiser": state.response.pred_BCHW.detach().sum()}
                self._refuse({**prediction, **passed.values}, passed.where)
            loss = report.total / train.accumulation
            if group.sharded:  # the others wait where one does not pass back through the denoiser
                loss = loss + 0 * state.response.pred_BCHW.sum()
            del state  # what it captured must not lie beside the gradients
            if loss.requires_grad:  # else no active term reaches a weight in this step
                self.parts.contracts.backward(self.accelerator.backward, loss)
        return passed

    def _forward(self, micro: int) -> tuple[StepState, LossReport]:
        train, group = self.config.train, self.group
        # Every pass of every process has its own number, from which its rows and its noise follow. So a
        # resumed run draws what the whole one drew, and two processes what one draws that accumulates twice.
        index = (self.step * train.accumulation + micro) * group.count + group.rank
        batch, generator = self.rows.batch(self.order.rows(index)), generator_of_step(index, train.seed)
        with self.accelerator.autocast():
            return dual_path_step(self.parts, batch, train.progress(self.step), generator=generator)

    def _refuse_gradient(self, norm: float, where: Where) -> None:
        """NonFiniteError when it is not finite; under fp16 not before the scaler has come down to 1."""
        scaler = self.accelerator.scaler
        scale = 1.0 if scaler is None else float(scaler.get_scale())
        if math.isfinite(norm) or scale > 1:  # the scaler leaves such a step out, and lowers its scale
            return
        # The backward passes have freed the graphs, so the passes are repeated to find the term.
        for micro in range(0 if self.group.sharded else self.config.train.accumulation):
            state, report = self._forward(micro)
            if name := faulty_gradient(report, self.parameters, scale):
                here = Where(state.batch.ids, state.noised.timesteps_B.cpu())
                self._refuse({f"gradient of '{name}'": norm}, here)
        self._refuse({"gradient": norm}, where)

    def _refuse(self, values: Mapping[str, float | Tensor], where: Where) -> None:
        terms = {name: term.provided_by for name, (term, _) in self.parts.terms.items()}
        providers = {**terms, **{f"gradient of '{name}'": provider for name, provider in terms.items()}}
        precision = self.config.train.precision
        refuse_non_finite(values, where, self.step, self.run, providers=providers, precision=precision)

    def save(self) -> int:
        """Write a checkpoint of the current step, which is returned, and drop the oldest ones."""
        keep = self.config.checkpoint.keep
        with self.interrupts.held():
            self.state.save(self.run, self.step, self.metadata(), keep, write=self.group.main)
            if self.group.sharded:
                self.group.each()  # nobody waits elsewhere, or leaves, before it is written
        return self.step

    def metadata(self) -> dict[str, str]:
        """What the weights file says about itself."""
        return {
            **weights_metadata(self.config, self.backbone, self.step, self.rows.prompts),
            **({WARM_START_HASH: self.start_hash} if self.start_hash else {}),
            **self.group.metadata,
        }

    def _line(self, passed: Passed, norm: float, learning_rate: float, seconds: float) -> dict[str, Any]:
        weights = {name: term.weight for name, (term, _) in self.parts.terms.items()}
        event, self.event = self.event, None
        return {
            "step": self.step,
            **terms_line(passed, weights),
            "learning_rate": learning_rate,
            "gradient_norm": norm,
            "seconds": seconds,
            "preparation_seconds": self.preparation_seconds,
            "peak_memory_mib": peak_memory_mib(self.backbone.device),
            **({"event": event} if event else {}),
        }


def _number(name: str, value: Any) -> float:
    try:
        return float("text" if isinstance(value, str) else value)
    except (TypeError, ValueError, RuntimeError):  # the last by a tensor of several values
        raise TypeError(f"track() gets {quoted(value)} as '{name}'; give a number") from None


class _ReadOnlyFit:
    def __init__(self, trainer: Trainer) -> None:
        object.__setattr__(self, "_trainer", ref(trainer))  # a cycle would keep the model after the run

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_FIT:
            raise AttributeError(f"Fit has no '{name}'; it has {', '.join(_OF_FIT)}")
        trainer = self._trainer()
        if trainer is None:
            raise RuntimeError(f"fit.{name}: the run has ended; read it in a hook")
        return getattr(trainer, name)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"fit.{name} cannot be set: a hook reads the run, and may change its adapter's weights; set "
            "options in the run's configuration"
        )
