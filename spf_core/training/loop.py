"""Training: a run folder in, steps, checkpoints, weights out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.errors import DataError, InterruptedRunError
from spf_core.plugins.discovery import Plugins
from spf_core.plugins.trust import resume_command
from spf_core.preparation.rows import rows_of
from spf_core.runs.checkpoint import checkpoints
from spf_core.runs.run_lock import locked
from spf_core.training.finish.finalize import finish
from spf_core.training.observers import observers_of
from spf_core.training.resources.oom import explain_oom
from spf_core.training.resume import planned_for, run_record, saved_length
from spf_core.training.run_log import RunLog
from spf_core.training.trackers import tracked
from spf_core.training.trainer import Trainer
from spf_core.training.warm_start import read_warm_start
from spf_core.utils.distributed import init_distributed, wants_shards
from spf_core.utils.interrupts import Interrupts, listening
from spf_core.utils.paths import cache_folder
from spf_core.utils.progress import PlannedStage, Progress, announce, silent


def train(
    config: RunConfig,
    run: Path,
    plugins: Plugins,
    *,
    resume: bool = False,
    accept_changed_data: bool = False,
    bounded: bool = False,
    progress: Progress = silent,
) -> None:
    """Train the run to its end; resuming continues bit-identically from the newest intact checkpoint.

    With more steps than the run had it is extended. Its data must be what it was, or the change accepted.
    A new run that is `bounded` draws for as many texts of each image as an hour allows, and saves the number.
    Raises SpfError kinds. Ctrl-C and SIGTERM save a checkpoint and raise InterruptedRunError, which says how
    to resume.
    """
    way_out = "continue from the last checkpoint with --resume"
    with (
        listening() as interrupts,
        explain_how_to_continue(run, watched := Watched(progress)),
        init_distributed(config.train.device, way_out, sharded=wants_shards()) as group,
    ):
        # From here on all processes stop after the same step: the others would wait for one that had left.
        if group.count > 1:
            interrupts.agree(())
        if resume and (steps := saved_length(run)):
            config = planned_for(config, steps)
        rows = _rows(config, resume)
        # Beside the main process nothing is written: no lock, no record, and nobody to hear of progress.
        with locked(run, watched) if group.main else nullcontext(silent) as heard:
            record = None
            if group.main:
                plugins.call("spf_before_fit", config=config, run=run, plugins=plugins)
                record = run_record(config, run, rows, plugins, resume=resume, accept=accept_changed_data)
            # A checkpoint holds what the first weights have become, so their file may be gone by then.
            start = None if resume and checkpoints(run) else read_warm_start(config)
            parts = (config, run, rows, heard, plugins, start, group, interrupts)
            trainer = Trainer(*parts, bounded=bounded and not resume, resume=resume)
            if resume:
                trainer.resume()
            if record:  # after the model was opened and the checkpoint was read, which may be refused
                replace(record, config=trainer.config).write(trainer.step)
            with saved_when_interrupted(interrupts, trainer.save, run):
                fit(trainer)


def _rows(config: RunConfig, resume: bool) -> list[Row]:
    try:
        return rows_of(config.preparation)
    except DataError as error:
        if not resume or config.data is None or Path(config.data).exists():
            raise
        raise DataError(f"{error}. If it was moved, name its new place with --data") from None


def fit(trainer: Trainer) -> None:
    """Run every remaining step, then write the adapter: with `train.ema_decay`, the averaged one."""
    main, steps = trainer.group.main, trainer.config.train.steps
    log = RunLog(trainer.run, first_step=trainer.step) if main else None
    tracking = tracked(trainer.config, trainer.run, trainer.step)
    with tracking if main else nullcontext() as trainer.trackers:
        observers = observers_of(trainer)
        if main and trainer.step < steps:
            trainer.progress("training", trainer.step, steps)
        while trainer.step < steps:
            # A step that ends half-way cannot be resumed: weights, schedule and log would disagree.
            with trainer.interrupts.held(), explain_oom(trainer.config, trainer.backbone):
                line = trainer.train_step()
                if log:  # before Ctrl-C may stop the run
                    log.write(line)
            # Where processes hold shards, all of them come here: none may leave while others gather.
            with trainer.interrupts.held(when=trainer.group.sharded):
                for observe in observers:
                    observe(trainer, line)
        with trainer.averaged():
            finish(trainer)


@contextmanager
def saved_when_interrupted(interrupts: Interrupts, save: Callable[[], int], run: Path) -> Iterator[None]:
    """KeyboardInterrupt within the context saves, which returns the step, and becomes InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        interrupts.ignore()
        raise InterruptedRunError(
            f"interrupted; step {save()} is saved. Continue with: {resume_command(run)}"
        ) from None


class Watched:
    """A listener that remembers which stage was heard of last, and what is kept of it."""

    def __init__(self, listener: Progress) -> None:
        """Passes everything on to `listener`."""
        self._listener = listener
        self._stages: dict[str, PlannedStage] = {}
        self._newest = ""

    def __call__(self, stage: str, done: int, total: int, **values: float) -> None:
        """As of Progress."""
        self._listener(stage, done, total, **values)
        self._newest = stage

    def planned(self, stages: Sequence[PlannedStage]) -> None:
        """As of ShowsPlan."""
        self._stages = {stage.name: stage for stage in stages}
        announce(self._listener, stages)

    def kept(self) -> str:
        """In which stage the run is, and which stages' finished units the next run reads; "" where none."""
        names = list(self._stages)
        if self._newest not in names:
            return ""
        number = names.index(self._newest)
        kept = [name for name in names[: number + 1] if self._stages[name].kept]
        if not kept:
            return ""
        where = f"in stage {number + 1} of {len(names)}, {self._newest}"
        return f"{where}; what is finished of {', '.join(kept)} is kept in '{cache_folder()}'"


@contextmanager
def explain_how_to_continue(run: Path, watched: Watched) -> Iterator[None]:
    """KeyboardInterrupt within the context, before or after the steps, becomes InterruptedRunError."""
    try:
        yield
    except KeyboardInterrupt:
        kept = watched.kept()
        if (run / "config.yaml").is_file():
            way = resume_command(run)
        else:
            way = "the same command" if kept else "the same command; nothing is written yet"
        raise InterruptedRunError(f"interrupted{f' {kept}' if kept else ''}. Continue with: {way}") from None
