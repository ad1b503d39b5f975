"""One cell: train, or resume, then evaluate; what is finished is kept."""

import shutil
from dataclasses import replace
from pathlib import Path

from spf_core import trainer
from spf_core.benchmark.plan import Cell, cell_config, data_folder, differences
from spf_core.benchmark.spec import BenchmarkSpec
from spf_core.checkpoint import ADAPTER_FILE
from spf_core.config import RunConfig
from spf_core.errors import RunError
from spf_core.evaluation.results import RESULTS_FILE
from spf_core.evaluation.run import evaluate
from spf_core.plugins import Plugins
from spf_core.progress import Progress
from spf_core.runlog import reset_peak_memory
from spf_core.runs import CONFIG_FILE, open_run, pick_device, saved_config


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether the cell is trained and evaluated: the evaluation writes its results last."""
    return (cell.evaluation(out) / RESULTS_FILE).is_file()


def refuse_other_settings(cell: Cell, config: RunConfig, out: Path, plugins: Plugins) -> None:
    """RunError when the cell was begun with settings that the file and the presets no longer give."""
    run = cell.run(out)
    if not (run / CONFIG_FILE).is_file():
        return
    for key, before, now in differences(saved_config(run, plugins), config):
        raise RunError(
            f"'{cell.folder(out)}' was trained with {key}={before!r}, which is {now!r} now; "
            f"delete that folder to train it again, or choose another --out"
        )


def run_cell(
    spec: BenchmarkSpec, cell: Cell, out: Path, plugins: Plugins, *, device: str, progress: Progress
) -> None:
    """Train and evaluate the cell as `spf train` and `spf evaluate` would; finished parts are skipped."""
    config = cell_config(spec, cell, plugins, out, device)
    run, evaluation = cell.run(out), cell.evaluation(out)
    if not (run / ADAPTER_FILE).is_file():
        reset_peak_memory(pick_device(config.train.device))
        trainer.train(config, run, plugins, resume=run.exists(), progress=progress)
    opened = open_run(run, plugins, device=config.train.device)
    data = str(data_folder(out, cell.target))  # the saved one may be where another machine mounts it
    if evaluation.exists():
        shutil.rmtree(evaluation)
    evaluate(
        replace(opened, config=opened.config.model_copy(update={"data": data})),
        plugins,
        suite=spec.suite,
        target=cell.target,
        prompts=spec.evaluation.prompts,
        seeds=spec.evaluation.seeds,
        split=spec.evaluation.split,
        out=evaluation,
        keep=spec.evaluation.keep,
        strengths=spec.evaluation.strengths,
        progress=progress,
    )
