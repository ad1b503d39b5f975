"""Training: a run folder in, steps, checkpoints, weights out."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL.Image import Image
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.data.record import record_of
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import dual_path_step
from spf_core.dual_path.texts import text_parameters
from spf_core.errors import DataError, NonFiniteError, RunError
from spf_core.export.facts import weights_metadata
from spf_core.interfaces import Adapter, Backbone, Budgeted, StepState
from spf_core.interfaces.types import LossReport
from spf_core.plugins.building import attach, built
from spf_core.plugins.discovery import Plugins
from spf_core.preparation.rows import Rows, encoded_rows, prepared_rows, recorded_states, rows_of
from spf_core.runs.cache import counting_spared
from spf_core.runs.checkpoint import ADAPTER_FILE, checkpoints
from spf_core.runs.provenance import read_provenance, record_start, warn_of_other_plugins
from spf_core.runs.run import CONFIG_FILE, open_backbone
from spf_core.runs.run_lock import is_filled, locked
from spf_core.sampling.sampler import refuse_more_steps
from spf_core.training.ema import Average
from spf_core.training.finalize import finish
from spf_core.training.interrupted import said_how_to_continue, saved_when_interrupted
from spf_core.training.nan_guard import Where, faulty_gradient, refuse_non_finite
from spf_core.training.optimizers import make_optimizer, make_schedule, require_optimizer, step_size
from spf_core.training.part_states import shared_memory
from spf_core.training.resources.memory_estimate import rehearse_attaching
from spf_core.training.resources.memory_options import save_memory, save_time
from spf_core.training.resources.oom import told_when_exhausted
from spf_core.training.resume import GoingOn, planned_for, saved_length, schedule_rule
from spf_core.training.resume_state import Continuation
from spf_core.training.row_order import Order, generator_of_step
from spf_core.training.run_log import Passed, RunLog, mean_passes, passed_of, terms_line
from spf_core.training.samples import save_samples
from spf_core.training.sharding import in_shards, refuse_unshardable, total
from spf_core.training.stages import Stages
from spf_core.training.trackers import Trackers, make_accelerator, tracked
from spf_core.training.warm_start import START_HASH, Start, read_start
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.devices import peak_memory_mib
from spf_core.utils.distributed import ALONE, Together, joined, wants_shards
from spf_core.utils.interrupts import Interrupts, listening
from spf_core.utils.progress import Progress, silent

_log = logging.getLogger("spf")

if TYPE_CHECKING:
    from spf_lab.evaluation.during import PurityWatch


def train(
    config: RunConfig,
    run: Path,
    plugins: Plugins,
    *,
    resume: bool = False,
    accept_changed_data: bool = False,
    progress: Progress = silent,
) -> None:
    """Train the run to its end; resuming continues bit-identically from the newest intact checkpoint.

    With more steps than the run had it is extended. Its data must be what it was, or the change accepted.
    Raises SpfError kinds. Ctrl-C and SIGTERM save a checkpoint and raise InterruptedRunError, which says how
    to resume.
    """
    way_out = "continue from the last checkpoint with --resume"
    with (
        listening() as interrupts,
        said_how_to_continue(run),
        joined(config.train.device, way_out, sharded=wants_shards()) as together,
    ):
        if together.count > 1:
            interrupts.agree(())
        if resume and (steps := saved_length(run)):
            config = planned_for(config, steps)
        rows = _rows(config, resume)
        if not together.main:
            _help(config, run, rows, together, interrupts, resume)
            return
        with locked(run, progress) as heard:
            watch = _watch(config, run, plugins, heard)
            start = None if resume and checkpoints(run) else read_start(config)
            if not resume and is_filled(run):
                raise RunError(f"'{run}' is not empty; choose another --out, or continue it with --resume")
            written = rows[: len(rows) // config.train.text_variants]
            begun = resume and (checkpoints(run) or read_provenance(run) or (run / ADAPTER_FILE).is_file())
            going_on = GoingOn.checked(config, run, written, accept=accept_changed_data) if begun else None
            trainer = Trainer(config, run, rows, heard, watch, start, together, interrupts)
            if going_on:  # after the model was opened and the checkpoint was read, which may be refused
                trainer.resume()
                going_on.write(trainer.step)
                warn_of_other_plugins(run, config, plugins)
            else:
                atomic_write_text(run / CONFIG_FILE, config.dump())
                record_start(run, config, plugins, record_of(written, str(config.data)))
            with saved_when_interrupted(interrupts, trainer.save, run):
                trainer.fit()


def _rows(config: RunConfig, resume: bool) -> list[Row]:
    try:
        return rows_of(config)
    except DataError as error:
        if not resume or config.data is None or Path(config.data).exists():
            raise
        raise DataError(f"{error}. If it was moved, name its new place with --data") from None


def _help(
    config: RunConfig, run: Path, rows: list[Row], together: Together, interrupts: Interrupts, resume: bool
) -> None:
    """Train beside the main process, and write nothing."""
    start = None if resume and checkpoints(run) else read_start(config)
    trainer = Trainer(config, run, rows, silent, None, start, together, interrupts)
    if resume:
        trainer.resume()
    with saved_when_interrupted(interrupts, trainer.save, run):
        trainer.fit()


def _watch(config: RunConfig, run: Path, plugins: Plugins, progress: Progress) -> "PurityWatch | None":
    if not config.evaluation.every:
        return None
    from spf_lab.evaluation.during import PurityWatch

    return PurityWatch(config, run, plugins, progress)


class Trainer:
    """Holds the parts of a run and moves them from step to step."""

    def __init__(
        self,
        config: RunConfig,
        run: Path,
        rows: list[Row],
        progress: Progress,
        watch: "PurityWatch | None" = None,
        start: Start | None = None,
        together: Together = ALONE,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.config, self.run, self.progress, self.watch = config, run, progress, watch
        self.together, self.interrupts = together, interrupts or Interrupts()
        self.start_hash = start.hash if start else None
        require_optimizer(config.optimizer)
        if together.sharded:
            refuse_unshardable(config)
        self.backbone: Backbone = open_backbone(config.backbone, config.train.device)
        refuse_more_steps(self.backbone, config.sample)
        if start:
            start.refuse_other_backbone(self.backbone)
        self.accelerator = make_accelerator(config.train, self.backbone.device, run)
        self.parts = build_parts(config, self.backbone, built(config.adapter))
        if config.editor:  # sampling builds it again, when the run is trained
            built(config.editor)
        rehearse_attaching(config.adapter, self.backbone)
        started = time.perf_counter()
        with together.one_after_another(), counting_spared() as spared:
            self.rows: Rows = encoded_rows(self.backbone, rows, config, progress)
            with self.accelerator.autocast():
                self.rows = prepared_rows(self.backbone, self.rows, config, progress)
                states = recorded_states(self.backbone, self.rows, config, progress)
        save_memory(self.backbone, config.train, park=not config.adapter.tunes_texts)
        self.order = Order(self.rows.buckets, config.train.batch_size, config.train.seed)
        self.preparation_seconds = time.perf_counter() - started + spared.seconds
        torch.manual_seed(config.train.seed)
        self.adapter: Adapter = self.parts.adapter
        if together.sharded:
            self.adapter = in_shards(self.adapter, config, self.accelerator)
        attach(config.adapter, self.adapter, self.backbone)
        save_time(self.backbone, config.train)
        if isinstance(self.adapter, Budgeted):
            self.adapter.start(config.train.steps)
        if start:
            start.load_into(self.adapter)
        together.same(self.adapter.parameters())
        decay = config.train.ema_decay
        self.average = None if decay is None else Average(self.adapter, decay)
        self.parts = replace(self.parts, adapter=self.adapter, states=states)
        self._make_optimizer()
        self.step = 0
        self.event: str | None = None  # for the next line of the log

    def _make_optimizer(self) -> None:
        options, train = self.config.optimizer, self.config.train
        self.parameters = list(self.adapter.parameters())
        optimizer = make_optimizer(options, self.parameters, text_parameters(self.adapter))
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.scheduler = make_schedule(options, optimizer, train.steps, train.planned_steps)
        self.stages = Stages(self.parts, self.optimizer, self.scheduler, self.average)
        self.state = Continuation(
            self.parts, self.average, self.optimizer, self.scheduler, self.accelerator.scaler
        )

    def resume(self) -> None:
        """Restore the newest intact checkpoint; a run that has none yet starts from the beginning."""
        found = self.state.load(self.run, self.together)
        if found is None:
            return
        self.step, steps = found.step, self.config.train.steps
        if self.step > steps:
            raise RunError(
                f"train.steps is {steps}, but the newest checkpoint in '{self.run}' is of step {self.step}; "
                f"give --steps {self.step} or more"
            )
        self.start_hash = found.metadata.get(START_HASH, self.start_hash)
        before = found.length or self.config.train.extended_from or steps
        if self.step <= before < steps:
            rule = schedule_rule(self.config.optimizer, steps)
            self.event = f"extended from {before} to {steps} steps: {rule}"
        self.together.warn_of_other_count(found.metadata)

    def fit(self) -> None:
        """Run every remaining step, then write the adapter: with `train.ema_decay`, the averaged one."""
        if not self.together.main:
            self._help()
            return
        log = RunLog(self.run, first_step=self.step)
        steps = self.config.train.steps
        with tracked(self.accelerator, self.config, self.run, self.step) as trackers:
            for line in self._steps(log.write):
                trackers.step(line)
                shown = {name: term["weighted"] for name, term in line["terms"].items()}
                self.progress("training", self.step, steps, loss=line["loss"], **shown)
                with self.interrupts.held(when=self.together.sharded):
                    if self._saves():
                        self.save()
                    self._look(trackers)
        with self._averaged():
            self._finish()

    def _help(self) -> None:
        """Run every remaining step, and give what the main process gathers of shards."""
        for _ in self._steps():
            with self.interrupts.held(when=self.together.sharded):
                if self.together.sharded and self._saves():
                    self.save()
                if self.together.sharded and self._draws():
                    self._pictures()
        if self.together.sharded:
            self.adapter.state_dict()

    def _saves(self) -> bool:
        return self.step % self.config.checkpoint.every == 0 or self.step == self.config.train.steps

    def _draws(self) -> bool:
        return bool(self.config.sample.every) and self.step % self.config.sample.every == 0

    def _steps(self, write: Callable[[dict[str, Any]], None] = lambda line: None) -> Iterator[dict[str, Any]]:
        """Every remaining step's log line, written before Ctrl-C may stop the run."""
        while self.step < self.config.train.steps:
            with self.interrupts.held(), told_when_exhausted(self.config, self.backbone):
                line = self.train_step()
                write(line)
            yield line

    def _averaged(self) -> AbstractContextManager[None]:
        """Within the context the adapter has the weights that the run would end with now."""
        return self.average.shown() if self.average else nullcontext()

    def _look(self, trackers: Trackers) -> None:
        """Draw samples and measure purity, where this step is one to do so."""
        if self._draws():
            trackers.pictures(self.step, self._pictures())
        if self.watch and self.watch.due(self.step):
            with self._averaged():
                found = self.watch(self.backbone, self.adapter, self.step, self.metadata())
            trackers.purity(found)

    def _pictures(self) -> dict[str, Image]:
        folder, seed = self.run / "samples" if self.together.main else None, self.config.train.seed
        try:
            with self._averaged():
                return save_samples(folder, self.step, self.parts, self.rows, self.config.sample, seed)
        except NonFiniteError as error:  # the weights are sound, and training needs no picture
            _log.warning("step %d has no pictures: %s", self.step, error)
            return {}

    def _finish(self) -> None:
        finish(
            self.config,
            self.run,
            self.parts,
            self.rows.prompts,
            self.metadata(),
            watch=self.watch,
            autocast=self.accelerator.autocast(),
            progress=self.progress,
        )

    def train_step(self) -> dict[str, Any]:
        """One optimizer step: forward passes, backward, the finite check, clipping; returns its log line."""
        started = time.perf_counter()
        self.stages.before_step(self.step)
        with shared_memory(self.parts, self.together):
            mine = self._passes()
        passed, pressed = zip(*self.together.each((mine, self.interrupts.pressed)), strict=True)
        if self.together.count > 1:
            self.interrupts.agree(pressed)
        self.together.average_gradients(self.parameters)
        norm = total(self.accelerator.clip_grad_norm_(self.parameters, self.config.optimizer.clip_norm))
        self._refuse_gradient(norm, mine.where)
        learning_rate = step_size(self.optimizer)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        if self.average:
            self.average.update()
        if isinstance(self.adapter, Budgeted):
            self.adapter.after_step(self.step)
        self.optimizer.zero_grad()
        return self._line(mean_passes(passed), norm, learning_rate, time.perf_counter() - started)

    def _passes(self) -> Passed:
        """The forward and backward passes of a step; returns the numbers of the last."""
        train, together = self.config.train, self.together
        for micro in range(train.accumulation):
            state, report = self._forward(micro)
            passed = passed_of(report, Where(state.batch.ids, state.noised.timesteps_B.cpu()))
            if not all(map(math.isfinite, passed.values.values())):
                prediction = {"prediction of the denoiser": state.response.pred_BCHW.detach().sum()}
                self._refuse({**prediction, **passed.values}, passed.where)
            loss = report.total / train.accumulation
            if together.sharded:  # the others wait where one does not pass back through the denoiser
                loss = loss + 0 * state.response.pred_BCHW.sum()
            del state  # what it captured must not lie beside the gradients
            if loss.requires_grad:  # else no active term reaches a weight in this step
                self.parts.contracts.backward(self.accelerator.backward, loss)
        return passed

    def _forward(self, micro: int) -> tuple[StepState, LossReport]:
        train, together = self.config.train, self.together
        index = (self.step * train.accumulation + micro) * together.count + together.rank
        batch, generator = self.rows.batch(self.order.rows(index)), generator_of_step(index, train.seed)
        with self.accelerator.autocast():
            return dual_path_step(self.parts, batch, train.progress(self.step), generator=generator)

    def _refuse_gradient(self, norm: float, where: Where) -> None:
        """NonFiniteError when it is not finite; under fp16 not before the scaler has come down to 1."""
        scaler = self.accelerator.scaler
        scale = 1.0 if scaler is None else float(scaler.get_scale())
        if math.isfinite(norm) or scale > 1:
            return
        for micro in range(0 if self.together.sharded else self.config.train.accumulation):
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
            self.state.save(self.run, self.step, self.metadata(), keep, write=self.together.main)
            if self.together.sharded:
                self.together.each()  # nobody waits elsewhere, or leaves, before it is written
        return self.step

    def metadata(self) -> dict[str, str]:
        """What the weights file says about itself."""
        return {
            **weights_metadata(self.config, self.backbone, self.step, self.rows.prompts),
            **({START_HASH: self.start_hash} if self.start_hash else {}),
            **self.together.metadata,
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
