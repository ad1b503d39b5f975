"""One stage: train, or resume, from the stage before, then judge; what is finished is kept."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.run import open_run
from spf_core.training.loop import train
from spf_core.utils.devices import pick_device, reset_peak_memory
from spf_core.utils.progress import Progress
from spf_lab.benchmark.plan import data_folder
from spf_lab.continual.joint import write_joint
from spf_lab.continual.judge import StageJudge
from spf_lab.continual.plan import Stage, Stages, stage_config
from spf_lab.continual.spec import ContinualSpec
from spf_lab.evaluation.saved import RESULTS_FILE
from spf_lab.evaluation.subject import Subject

JOINT_FILE = "joint.json"


def is_finished(stage: Stage, spec: ContinualSpec, out: Path) -> bool:
    """Whether the stage is trained and judged on everything."""
    return not _missing(stage, spec, out) and (not _is_last(stage) or _joint_file(stage, out).is_file())


def is_complete(sequence: Stages, spec: ContinualSpec, out: Path) -> bool:
    """Whether every stage of the sequence is finished."""
    return all(is_finished(stage, spec, out) for stage in sequence)


def joint_file(sequence: Stages, out: Path) -> Path:
    """Where the last stage's prompts for two targets at once are recorded."""
    *_, last = sequence
    return _joint_file(last, out)


def run_stage(
    spec: ContinualSpec,
    stage: Stage,
    out: Path,
    plugins: Plugins,
    subjects: Mapping[str, Subject],
    *,
    device: str,
    progress: Progress,
) -> None:
    """Train the stage and judge it; finished parts are skipped."""
    config, run = stage_config(spec, stage, plugins, out, device), stage.run(out)
    if not (run / ADAPTER_FILE).is_file():
        reset_peak_memory(pick_device(config.train.device))
        train(config, run, plugins, resume=run.exists(), progress=progress)
    opened = open_run(run, plugins, device=config.train.device)
    data = str(data_folder(out, stage.target))  # the saved one may be where another machine mounts it
    opened = replace(opened, config=opened.config.model_copy(update={"data": data}))
    judge = StageJudge(opened, plugins, spec, subjects, progress)
    for target in _missing(stage, spec, out):
        folder = stage.evaluation(out, target)
        shutil.rmtree(folder, ignore_errors=True)
        judge(target, folder)
    if _is_last(stage) and not _joint_file(stage, out).is_file():
        learned = {target: subjects[target] for target in stage.sequence.order}
        write_joint(_joint_file(stage, out), opened, spec, learned, progress)


def _missing(stage: Stage, spec: ContinualSpec, out: Path) -> list[str]:
    """Targets that the stage is still to be judged on: an evaluation writes its results last."""
    return [
        target
        for target in stage.judged(spec)
        if not (stage.evaluation(out, target) / RESULTS_FILE).is_file()
    ]


def _is_last(stage: Stage) -> bool:
    return stage.number == len(stage.sequence.order)


def _joint_file(stage: Stage, out: Path) -> Path:
    return stage.folder(out) / JOINT_FILE
