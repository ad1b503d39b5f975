"""`spf evaluate`: hit rate, effect and pollution of a run."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
)
from spf_core.utils.distributed import is_main

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
    from spf.measuring import evaluate as measure
    from spf.measuring import results_table
    from spf.runs import open_run
    from spf_cli.render import as_table, show

    evaluation = measure(
        open_run(run, plugin=plugin or (), device=device),
        out,
        prompts=prompts,
        seeds=seeds,
        suite=suite,
        target=target,
        split=split.value,
        scores=score or (),
        settings=assignments or (),
        keep=keep,
        strengths=numbers("--strengths", strengths),
    )
    if is_main():
        command = shlex.join(["spf", "report", str(run), "--evaluation", str(out)])
        table = results_table({str(run): evaluation})
        show(as_table(table), f"results in {out}", f"as one page: {command}")
