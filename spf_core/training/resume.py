"""What may differ when a run goes on: its length, where its data and base model lie, and nothing else."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.data.record import changes, record_of
from spf_core.errors import RunError, quoted, short
from spf_core.interfaces import AllocatesRank
from spf_core.plugins.configs import OptimizerConfig
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import checkpoints
from spf_core.runs.provenance import (
    PROVENANCE_FILE,
    Provenance,
    read_provenance,
    record_start,
    warn_of_other_plugins,
)
from spf_core.runs.run_lock import is_filled
from spf_core.runs.saved_config import CONFIG_FILE
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.paths import MOVABLE
from spf_core.utils.yaml_text import read_yaml

EARLIER = "earlier"  # folder in a run with what it ended with before it was extended
ADAPTER_FILE = "adapter.safetensors"
# What belongs to the weights that a run ended with: the weights first, as a run without them is unfinished.
_ENDED_WITH = (
    ADAPTER_FILE,
    "calibration.json",
    "distillation.json",
    "strengths.json",
    "evaluation",
    "report.html",
)
_MAY_DIFFER = (*MOVABLE, "train.steps", "train.extended_from")
_log = logging.getLogger("spf")


def resumed(saved: RunConfig, given: RunConfig, run: Path) -> RunConfig:
    """The configuration that a run goes on with, where `given` is `saved` with what the user gave over it.

    It may have more steps, and its data and its base model may lie elsewhere: that they are the same is
    checked when they are read. RunError names the first other difference.
    """
    here = {"started_in": str(Path.cwd())}
    before, now = (_flat(config.model_dump(mode="json", context=here)) for config in (saved, given))
    differing = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    differing = [key for key in differing if key not in _MAY_DIFFER]
    differing = [key for key in differing if key.partition(".")[0] != "plugins"]
    if differing:
        key, more = differing[0], len(differing) - 1
        others = f" (and {more} more: {', '.join(differing[1:4])})" if more else ""
        raise RunError(
            f"--resume: {key} is {quoted(now.get(key))} here, {quoted(before.get(key))} in the run "
            f"'{run}'{others}; leave it out to resume the run, or train another with a new --out"
        )
    if given.train.steps < saved.train.steps:
        raise _too_short(given.train.steps, saved.train.steps, run)
    moved: dict[str, Any] = {}
    if now.get("data") != before.get("data"):
        moved["data"] = given.data
    if now.get("backbone.path") != before.get("backbone.path"):
        moved["backbone"] = given.backbone
    return extended(saved.model_copy(update=moved), given.train.steps)


def extended(config: RunConfig, steps: int) -> RunConfig:
    """The configuration with more steps; what warm-up and the windows of terms are fractions of stays."""
    if steps <= config.train.steps:
        return config
    first = config.train.extended_from or config.train.steps
    train = config.train.model_copy(update={"steps": steps, "extended_from": first})
    return config.model_copy(update={"train": train})


def planned_for(config: RunConfig, length: int) -> RunConfig:
    """The configuration, marked as an extension where it has more steps than a run of `length`."""
    if config.train.extended_from or config.train.steps <= length:
        return config
    return extended(
        config.model_copy(update={"train": config.train.model_copy(update={"steps": length})}),
        config.train.steps,
    )


def schedule_rule(options: OptimizerConfig, steps: int) -> str:
    """What an extension to `steps` steps does to the step size and the terms, in words."""
    if options.schedule in ("constant", "constant_with_warmup"):
        size = "the step size stays"
    elif options.schedule == "piecewise_constant":
        size = "optimizer.step_rules name steps and stay"
    else:
        size = f"the step size follows the {options.schedule} schedule of {steps} steps from here on"
    return f"{size}; warm-up and the windows of terms keep their steps"


@dataclass(frozen=True)
class NewRun:
    """The record of a run that begins."""

    config: RunConfig
    run: Path
    plugins: Plugins
    rows: Sequence[Row]

    def write(self, step: int) -> None:
        """Write configuration and record before the first step."""
        atomic_write_text(self.run / CONFIG_FILE, self.config.dump())
        record_start(self.run, self.config, self.plugins, record_of(self.rows, str(self.config.data)))


def run_record(
    config: RunConfig, run: Path, rows: Sequence[Row], plugins: Plugins, *, resume: bool, accept: bool
) -> "NewRun | ResumePlan":
    """What is to be written of a run that begins or goes on.

    RunError when the folder holds another run, or when the run cannot go on like this.
    """
    if not resume and is_filled(run):
        raise RunError(f"'{run}' is not empty; choose another --out, or continue it with --resume")
    written = rows[: len(rows) // config.train.text_variants]
    if resume and (checkpoints(run) or read_provenance(run) or (run / ADAPTER_FILE).is_file()):
        return ResumePlan.checked(config, run, written, plugins, accept=accept)
    return NewRun(config, run, plugins, written)


@dataclass(frozen=True)
class ResumePlan:
    """What becomes of a run's record when the run goes on. `length` is what it was to have before."""

    config: RunConfig
    run: Path
    plugins: Plugins
    length: int
    provenance: Provenance

    @classmethod
    def checked(
        cls, config: RunConfig, run: Path, rows: Sequence[Row], plugins: Plugins, *, accept: bool
    ) -> "ResumePlan":
        """RunError when the run cannot be extended, or when its data changed and nobody accepts it."""
        length = saved_length(run) or config.train.steps
        _refuse_length(config, run, length)
        known = read_provenance(run) or Provenance(started_in=str(Path.cwd()))
        return cls(config, run, plugins, length, _with_data(known, config, run, rows, accept))

    def write(self, step: int) -> None:
        """Write configuration and record before `step` + 1; what the run ended with before is put aside."""
        record, steps = self.provenance, self.config.train.steps
        if steps > self.length:
            _put_aside(self.run, self.length)
            rule = schedule_rule(self.config.optimizer, steps)
            record = record.with_event(
                f"extended after step {step}, from {self.length} to {steps} steps: {rule}"
            )
            _log.info("the run is %s", record.events[-1])
        record.write(self.run)
        atomic_write_text(self.run / CONFIG_FILE, self.config.dump(started_in=record.started_in))
        warn_of_other_plugins(self.run, self.config, self.plugins)


def saved_length(run: Path) -> int | None:
    """The steps that the run in a folder is to have; None where there is none."""
    if not (run / CONFIG_FILE).is_file():
        return None
    train = read_yaml(run / CONFIG_FILE).get("train")
    steps = train.get("steps") if isinstance(train, Mapping) else None
    return steps if isinstance(steps, int) else None


def _refuse_length(config: RunConfig, run: Path, length: int) -> None:
    steps = config.train.steps
    if steps < length:
        raise _too_short(steps, length, run)
    if (run / ADAPTER_FILE).is_file() and not any((run / "checkpoints").glob("step-*")):
        raise RunError(
            f"'{run}' is finished and has no checkpoint to resume from; train another with --start-from {run}"
        )
    if steps > length and isinstance(config.adapter.build(), AllocatesRank):
        raise RunError(
            f"train.steps is {steps} here, {length} in the run '{run}': {config.adapter.name} distributes "
            "its ranks over the length of a run, so the run cannot be extended; train another with "
            f"--start-from {run}"
        )


def _too_short(steps: int, length: int, run: Path) -> RunError:
    return RunError(
        f"--resume: train.steps is {steps} here, {length} in the run '{run}'; a run can be extended, not "
        "shortened: leave it out, or train another with a new --out"
    )


def _with_data(
    known: Provenance, config: RunConfig, run: Path, rows: Sequence[Row], accept: bool
) -> Provenance:
    """The record with the data as it is now; RunError when it is not what it was."""
    data = str(config.data)
    now = record_of(rows, data)
    if known.data is None:
        if (run / "checkpoints").is_dir():
            _log.info("'%s' did not record its training data; spf records it now, and compares nothing", run)
        return known.model_copy(update={"data": now})
    was = read_yaml(run / CONFIG_FILE).get("data") if (run / CONFIG_FILE).is_file() else data
    if (what := changes(known.data, now)) is None:
        if str(was) != data and not _same_place(Path(known.started_in, str(was)).expanduser(), data):
            _log.info("the data lies in '%s' now, and its rows are the same", short(data))
            known = known.with_event(f"the data moved from '{was}' to '{data}', with the same rows")
        return known.model_copy(update={"data": now})
    if not accept:
        raise RunError(
            f"the training data '{short(data)}' differs from that of the run '{run}': {what};  restore it, "
            "train another run with a new --out, or continue with --accept-changed-data"
        )
    _log.warning("the run continues with changed data: %s", what)
    return known.model_copy(update={"data": now}).with_event(f"changed data was accepted: {what}")


def _same_place(was: Path, data: str) -> bool:
    return was.resolve() == Path(data).expanduser().resolve()


def _put_aside(run: Path, length: int) -> None:
    """Move what the run ended with to earlier/step-N, which can be sampled and evaluated like a run.

    The weights move first: a run that is killed meanwhile counts as unfinished, and is resumed.
    """
    names = [*_ENDED_WITH[:1], f"{run.resolve().name}.safetensors", f"{run.resolve().name}-lora.safetensors"]
    there = [run / name for name in (*names, *_ENDED_WITH[1:]) if (run / name).exists()]
    if not there:
        return
    folder = run / EARLIER / f"step-{length:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG_FILE, PROVENANCE_FILE):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    for path in there:
        if (folder / path.name).is_dir():
            shutil.rmtree(folder / path.name)
        path.replace(folder / path.name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their whole names, such as `train.steps`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
