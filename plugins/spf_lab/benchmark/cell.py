"""One cell: train, or resume, then evaluate, then write its record; what is finished is kept."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spf_core.config.loading import resolve
from spf_core.config.run_config import RunConfig
from spf_core.errors import ConfigError, RunError
from spf_core.plugins.discovery import Plugins
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_core.runs.run import CONFIG_FILE, open_run, saved_config
from spf_core.training import trainer
from spf_core.utils.devices import pick_device, reset_peak_memory
from spf_core.utils.progress import Progress
from spf_lab.benchmark.contact_sheet import REGION, WORST_SHOWN, write_contact_sheet
from spf_lab.benchmark.plan import Cell, cell_config, cell_scores, comparable, data_folder, differences
from spf_lab.benchmark.record import Record, read_evaluation, read_record, write_record
from spf_lab.benchmark.spec import BenchmarkSpec
from spf_lab.evaluation.drawing import EvaluationPlan
from spf_lab.evaluation.pictures import SHOWN, WORST, first_pairs, worst_pairs
from spf_lab.evaluation.run import evaluate
from spf_lab.evaluation.saved import RESULTS_FILE


def is_finished(cell: Cell, out: Path) -> bool:
    """Whether the cell has its record, which is written last."""
    return cell.record(out).is_file()


def refuse_other_settings(cell: Cell, config: RunConfig, out: Path, plugins: Plugins) -> None:
    """RunError when the cell was begun with settings that the file and the presets no longer give."""
    run = cell.run(out)
    if is_finished(cell, out):
        before = _recorded(cell, out, plugins)
    elif (run / CONFIG_FILE).is_file():
        before = saved_config(run, plugins)
    else:
        return
    for key, was, now in differences(before, config):
        raise RunError(
            f"'{cell.folder(out)}' was trained with {key}={was!r}, which is {now!r} now; "
            f"delete that folder to train it again, or choose another --out"
        )


def run_cell(
    spec: BenchmarkSpec, cell: Cell, out: Path, plugins: Plugins, *, device: str, progress: Progress
) -> None:
    """Train and evaluate the cell as `spf train` and `spf evaluate` would; finished parts are skipped."""
    config = cell_config(spec, cell, plugins, out, device)
    run, evaluation = cell.run(out), cell.evaluation(out)
    trained = (run / ADAPTER_FILE).is_file()
    if not trained:
        reset_peak_memory(pick_device(config.train.device))
        trainer.train(config, run, plugins, resume=run.exists(), progress=progress)
    if not (trained and (evaluation / RESULTS_FILE).is_file()):
        shutil.rmtree(evaluation, ignore_errors=True)
        _evaluate(spec, cell, out, plugins, device=config.train.device, progress=progress)
    record = read_evaluation(cell, comparable(config), out)
    if cell.seed == spec.seeds[0]:
        wanted = _wanted(spec, cell, out, record)
        record = replace(record, layout=write_contact_sheet(cell.sheet(out), evaluation, wanted))
    write_record(cell, out, record)


def _evaluate(
    spec: BenchmarkSpec, cell: Cell, out: Path, plugins: Plugins, *, device: str, progress: Progress
) -> None:
    opened = open_run(cell.run(out), plugins, device=device)
    options = spec.evaluation
    plan = EvaluationPlan(
        suite=spec.suite,
        target=cell.target,
        prompts=options.prompts,
        seeds=options.seeds,
        split=options.split,
        strengths=options.strengths,
    )
    data = str(data_folder(out, cell.target))  # the saved one may be where another machine mounts it
    evaluate(
        replace(opened, config=opened.config.model_copy(update={"data": data})),
        plugins,
        plan,
        out=cell.evaluation(out),
        scores=cell_scores(spec, plugins),
        keep=max(options.keep, SHOWN),
        also=_worst_of_reference(spec, cell, out),
        progress=progress,
    )


def _recorded(cell: Cell, out: Path, plugins: Plugins) -> RunConfig:
    try:
        return resolve(read_record(cell, out).settings, plugins, saved=True)
    except ConfigError as error:
        raise RunError(
            f"'{cell.folder(out)}' was trained with settings that cannot be read here ({error}); "
            f"delete that folder to train it again, or choose another --out"
        ) from None


def _wanted(spec: BenchmarkSpec, cell: Cell, out: Path, record: Record) -> dict[str, list[int]]:
    """Pairs by role: the first, the worst, and those that are the worst of the reference."""
    is_reference = cell.entry.name == spec.reference
    first = first_pairs(record.results["n_prompts"], record.results["n_seeds"])
    worst = worst_pairs([row["spi"] for row in record.rows], WORST if is_reference else WORST_SHOWN)
    shown = list(dict.fromkeys([*first, *worst, *_worst_of_reference(spec, cell, out)]))
    return {"original": shown, "tuned": shown, REGION: shown, "prompted": worst}


def _worst_of_reference(spec: BenchmarkSpec, cell: Cell, out: Path) -> Sequence[int]:
    """The pairs that the grid of the worst shows, once the reference's own cell is finished."""
    entries = [entry for entry in spec.presets if entry.name == spec.reference]
    reference = Cell(cell.target, entries[0], spec.seeds[0])
    if cell.seed != spec.seeds[0] or cell == reference or not is_finished(reference, out):
        return ()
    return worst_pairs([row["spi"] for row in read_record(reference, out).rows], WORST)
