"""`spf score`: what files of weights change besides their target, against their base model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import (
    MANY,
    OUTPUT,
    BaseModel,
    Device,
    DeviceName,
    PluginFiles,
    Prompts,
    Trigger,
    prompts_of,
    readable,
)
from spf_core.errors import RunError
from spf_lab.commands.evaluate import Keep, ScoreOptions, Scores

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_lab.scoring.opening import Base
    from spf_lab.scoring.record import Record
    from spf_lab.scoring.run import Request
    from spf_lab.scoring.sources import Source

OF_CONFIG = ("backbone", "sample", "dataset")  # what --set changes here besides scores and suites
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="LoRA files, checkpoints, folders in diffusers' layout, or runs.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Folder for the results. To continue or to add files, run the command again.",
        rich_help_panel=OUTPUT,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        callback=readable,
        help="The words that ask for the target in a prompt.",
        show_default="as the files say",
    ),
]
Takeover = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1,
        help="Fraction of the noise schedule where a file takes over. With 1, it takes every step.",
        show_default="as the file says, else 1",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder with training images of the target, which help to judge it."),
]


def score(
    files: Files,
    out: Out,
    target: Target = None,
    backbone: BaseModel = None,
    strength: Annotated[
        float, typer.Option(min=0, max=100, help="Strength of every file, as in its model card.")
    ] = 1.0,
    prompts: Prompts = "50",
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Number of noise seeds for each prompt.")] = 2,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Suite to judge with.", show_default="portraits for mini, else photos"
        ),
    ] = None,
    data: Data = None,
    trigger: Trigger = None,
    handover: Takeover = None,
    score: Scores = None,
    assignments: ScoreOptions = None,
    plugin: PluginFiles = None,
    keep: Keep = 8,
    device: Device = DeviceName.AUTO,
) -> None:
    """Measure what LoRA files of any trainer change besides their target.

    Each file is evaluated as [bold]spf evaluate[/] evaluates a run: on the same prompts and noise as the base
    model. [bold]--set backbone.path=DIR[/] and [bold]--set sample.steps=30[/] change the base model and the
    sampling.
    """
    from spf_cli.loading import load
    from spf_lab.scoring.opening import Base, backbone_of, base_config
    from spf_lab.scoring.sources import examine_all, target_of

    count, texts = prompts_of(prompts)
    plugins, sources = load(plugin or ()), examine_all(files)
    _refuse_only_faults(sources)
    of_base = backbone_of(sources, backbone, plugins)
    own, others = _parted(assignments or ())
    base = Base(base_config(plugins, of_base, data=data, trigger=trigger, assignments=own), plugins, device)
    judged = target_of(sources, plugins, suite=suite, target=target, backbone=of_base["name"])
    plan: dict[str, Any] = {
        "suite": suite,
        "target": judged.target,
        "target_text": judged.text,
        "prompts": count,
        "texts": texts,
        "seeds": seeds,
    }
    request = _request(plugins, plan, others, score or (), strength=strength, handover=handover, keep=keep)
    _show(_score(sources, base, request, out), out)


def _refuse_only_faults(sources: "Sequence[Source]") -> None:
    """Raise the first fault where no file can be read at all."""
    faults = [source.fault for source in sources if source.fault is not None]
    if len(faults) == len(sources):
        raise faults[0]


def _parted(assignments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Assignments of the base model and the sampling, and those of scores, metrics and suites."""
    own = [each for each in assignments if each.split(".")[0].split("=")[0] in OF_CONFIG]
    return own, [each for each in assignments if each not in own]


def _request(
    plugins: "Plugins", plan: dict[str, Any], options: Sequence[str], names: Sequence[str], **given: Any
) -> "Request":
    from spf_lab.evaluation.drawing import EvaluationPlan
    from spf_lab.evaluation.score_options import choose_scores, metric_options, suite_options
    from spf_lab.scoring.run import Request

    return Request(
        EvaluationPlan(**plan, suite_options=suite_options(plugins, options)),
        choose_scores(plugins, names, options),
        metric_options(plugins, names, options),
        **given,
    )


def _score(sources: "Sequence[Source]", base: "Base", request: "Request", out: Path) -> "Record":
    from spf_cli.bars import prefixed, progress_bars
    from spf_lab.scoring.run import score_files

    with progress_bars() as progress:
        return score_files(sources, base, request, out, lambda file: prefixed(progress, file))


def _show(record: "Record", out: Path) -> None:
    """The table and the page; RunError names the files that failed."""
    from spf_cli.render import show
    from spf_core.utils.atomic import atomic_write_text
    from spf_lab.commands.report import PAGE
    from spf_lab.commands.results import read_results, results_table
    from spf_lab.report.write import score_report

    failed = {name: each.failed for name, each in record.files.items() if each.failed}
    if record.finished:
        results = {name: read_results(out / name) for name in record.finished}
        atomic_write_text(out / PAGE, score_report(out))
        reasons = [f"failed:  {name}: {reason}" for name, reason in failed.items()]
        places = [f"results: {out}", f"report:  {out / PAGE}"]
        show(results_table(results, list(failed)), *reasons, *places)
    if failed:
        first, reason = next(iter(failed.items()))
        raise RunError(f"{len(failed)} of {len(record.files)} files failed; '{first}': {reason}")
