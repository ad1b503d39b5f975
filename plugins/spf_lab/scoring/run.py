"""Scores files one after another: each is evaluated as a run is, into a folder of its own."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spf_core.errors import RunError, SpfError, short
from spf_core.plugins import ScoreConfig
from spf_core.runs.run_lock import is_filled
from spf_core.utils.private import without_places
from spf_core.utils.progress import Progress, silent
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.saved import read_evaluation
from spf_lab.evaluation.subject import find_subject
from spf_lab.scoring.opening import Base
from spf_lab.scoring.record import RECORD, Record, Scored, new_record, read_record
from spf_lab.scoring.sources import Source, unique_names

_log = logging.getLogger("spf")


@dataclass(frozen=True)
class Request:
    """How all files are scored. `plan` names the target; `handover` replaces those that files name."""

    plan: EvaluationPlan
    scores: Mapping[str, ScoreConfig]
    metric_options: Sequence[str] = ()
    strength: float = 1.0
    handover: float | None = None
    keep: int = 8

    def settings(self, base: Base) -> dict[str, Any]:
        """Everything that the numbers depend on besides a file, as plain values."""
        config, plan = base.config.model_dump(mode="json"), self.plan
        return {
            **{part: config[part] for part in ("backbone", "data", "dataset", "sample")},
            "suite": plan.suite,
            "suite_options": list(plan.suite_options),
            "target": plan.target,
            "target_text": plan.target_text,
            "prompts": list(plan.texts) or plan.prompts,
            "seeds": plan.seeds,
            "strength": self.strength,
            "handover": self.handover,
            "scores": {name: each.model_dump(mode="json") for name, each in self.scores.items()},
            "metric_options": list(self.metric_options),
            "keep": self.keep,
        }


def score_files(
    sources: Sequence[Source],
    base: Base,
    request: Request,
    out: Path,
    progress: Callable[[str], Progress] = lambda _: silent,
) -> Record:
    """Score every source into `out/NAME`, and keep what was scored before with the same settings.

    A file that fails is recorded with the reason, and the others still finish; a single file raises its
    error. `progress` is called with a file's name. ConfigError when nobody judges the target, RunError when
    `out` belongs to something else.
    """
    config, plan = base.config, request.plan
    find_subject(
        config.data,
        base.plugins,
        suite=plan.suite,
        target=plan.target,
        dataset=config.dataset,
        reader=config.reader,
        backbone=config.backbone.name,
        options=plan.suite_options,
    )
    record = _begun(out, new_record(plan.target or "", request.settings(base)))
    for name, source in zip(unique_names(each.path for each in sources), sources, strict=True):
        scored = _scored(source, request)
        if not _is_kept(out / name, record.files.get(name), scored):
            alone = len(sources) == 1 and not record.files
            scored = _score(source, scored, base, request, out / name, progress(name), alone=alone)
        record = record.model_copy(update={"files": {**record.files, name: scored}})
        record.write(out)
    return record


def _begun(out: Path, wanted: Record) -> Record:
    """The record that is there, with its files, or a new one."""
    if not (out / RECORD).is_file():
        if is_filled(out) or out.is_file():
            raise RunError(f"output folder '{out}' is not empty; choose another --out")
        return wanted
    found = read_record(out)
    if found.settings_hash != wanted.settings_hash:
        raise RunError(f"'{out}' was made with other options ({out / RECORD}); choose another --out")
    return found


def _scored(source: Source, request: Request) -> Scored:
    handover = source.handover if request.handover is None else request.handover
    return Scored(
        file=source.path.resolve().name,
        kind=source.kind,
        sha256=source.sha256,
        strength=request.strength,
        handover=handover,
    )


def _is_kept(folder: Path, before: Scored | None, now: Scored) -> bool:
    """Whether the same file was scored already, and its numbers are whole."""
    if before != now:
        return False
    try:
        read_evaluation(folder)
    except (OSError, ValueError):
        return False
    return True


def _score(
    source: Source,
    scored: Scored,
    base: Base,
    request: Request,
    folder: Path,
    progress: Progress,
    *,
    alone: bool,
) -> Scored:
    if folder.exists():
        shutil.rmtree(folder)  # of another file of this name, or of an attempt that was ended
    try:
        with base.opened(source, strength=request.strength, handover=request.handover) as opened:
            evaluate(
                opened,
                base.plugins,
                replace(request.plan, sample=opened.config.sample),
                out=folder,
                scores=request.scores,
                metric_options=request.metric_options,
                keep=request.keep,
                progress=progress,
            )
    except SpfError as error:
        if alone:
            raise
        return scored.model_copy(update={"failed": without_places(str(error))})
    except Exception as error:  # a file of anybody's may break a model in any way
        if alone:
            raise
        _log.debug("%s", source.path, exc_info=True)
        reason = short(" ".join(str(error).split()), 200)
        return scored.model_copy(update={"failed": f"{type(error).__name__}: {without_places(reason)}"})
    return scored
