"""`spf evaluate`: hit rate, effect and pollution of a run."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.completion import names_of
from spf_cli.options import (
    MANY,
    OUTPUT,
    Device,
    DeviceName,
    PluginFiles,
    Prompts,
    RunFolder,
    in_a_group,
    numbers,
    prompts_of,
)
from spf_core.utils.distributed import init_distributed

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_lab.evaluation.drawing import EvaluationPlan

SCORES = "Scores of the literature"
Scores = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Score or metric to report besides SPS, or [cyan]all[/] scores. Repeatable.",
        show_default="scores without outside weights",
        autocompletion=names_of("score", "metric"),
        rich_help_panel=SCORES,
    ),
]
ScoreOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME.OPTION=VALUE",
        help="An option of a score, metric or suite, as in [cyan]clip-i.path=models/clip[/]. Repeatable.",
        rich_help_panel=SCORES,
    ),
]
JudgingSuite = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Suite to evaluate with.",
        show_default="that of the training data, else photos",
        autocompletion=names_of("suite"),
    ),
]
JudgedTarget = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|TEXT",
        help="Target that the judges look for.",
        show_default="that of the training data",
    ),
]
Keep = Annotated[
    int,
    typer.Option(
        min=0, max=MANY, help="Number of first prompts whose images are kept.", rich_help_panel=OUTPUT
    ),
]
Strengths = Annotated[
    str,
    typer.Option(metavar="S,S,...", help="Adapter strengths to evaluate too, for the strength frontier."),
]


class Split(StrEnum):
    """Split of the prompts: `dev` to choose settings, `test` for published numbers."""

    TEST = "test"
    DEV = "dev"


@in_a_group
def evaluate(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the results.", rich_help_panel=OUTPUT)
    ],
    prompts: Prompts = "50",
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Number of noise seeds for each prompt.")] = 2,
    suite: JudgingSuite = None,
    target: JudgedTarget = None,
    split: Annotated[
        Split, typer.Option(help="Split of the prompts. Use [bold]dev[/] to choose settings.")
    ] = Split.TEST,
    score: Scores = None,
    assignments: ScoreOptions = None,
    plugin: PluginFiles = None,
    keep: Keep = 8,
    strengths: Strengths = "",
    device: Device = DeviceName.AUTO,
) -> None:
    """Measure effect and pollution on unseen prompts, with confidence intervals.

    Under torchrun or accelerate launch, the processes share the sampling. A score whose weights are absent is
    reported as not available; [bold]spf plugins show NAME[/] says how to get them.
    """
    from spf_cli.loading import refuse_filled, run_config
    from spf_cli.render import show
    from spf_lab.commands.results import read_results, results_table
    from spf_lab.evaluation.drawing import EvaluationPlan
    from spf_lab.evaluation.score_options import choose_scores, metric_options, suite_options

    count, texts = prompts_of(prompts)
    refuse_filled(out, "choose another --out")
    _, plugins = run_config(run, plugin or ())
    plan = EvaluationPlan(
        suite=suite,
        suite_options=suite_options(plugins, assignments or ()),
        target=target,
        prompts=count,
        texts=texts,
        seeds=seeds,
        split=split.value,
        strengths=numbers("--strengths", strengths),
    )
    names, options = score or (), assignments or ()
    kept: dict[str, Any] = {"scores": choose_scores(plugins, names, options), "out": out, "keep": keep}
    kept["metric_options"] = metric_options(plugins, names, options)
    if _evaluate_in_group(run, plugins, device, plan, kept):
        command = shlex.join(["spf", "report", str(run), "--evaluation", str(out)])
        show(results_table({str(run): read_results(out)}), f"results in {out}", f"as one page: {command}")


def _evaluate_in_group(
    run: Path, plugins: "Plugins", device: str, plan: "EvaluationPlan", kept: dict[str, Any]
) -> bool:
    """Evaluate on the main process, and sample for it on the others; returns whether this is the main one."""
    from spf_cli.bars import progress_bars
    from spf_core.runs.run import open_run
    from spf_lab.evaluation.drawing import draw
    from spf_lab.evaluation.run import evaluate as measure

    with init_distributed(device, "run the command again") as group:
        opened = open_run(run, plugins, device=device)
        if group.main:
            with progress_bars() as progress:
                measure(opened, plugins, plan, **kept, progress=progress, group=group)
        else:
            draw(opened, plugins, plan, group=group)
    return group.main
