"""`spf evaluate`: how purely a run learnt its target."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import MANY, OUTPUT, Device, DeviceName, PluginFiles, RunFolder, in_a_group, numbers

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_lab.evaluation.drawing import EvaluationPlan

SCORES = "Scores of the literature"
Scores = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Score or metric to show beside the purity score, or [cyan]all[/] scores. Repeatable.",
        show_default="those without outside weights",
        rich_help_panel=SCORES,
    ),
]
ScoreOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SCORE.OPTION=VALUE",
        help="An option of a score or metric, as in [cyan]clip-i.path=models/clip[/]. Repeatable.",
        rich_help_panel=SCORES,
    ),
]
Keep = Annotated[
    int,
    typer.Option(min=0, max=MANY, help="First prompts to keep pictures of.", rich_help_panel=OUTPUT),
]
Strengths = Annotated[
    str,
    typer.Option(metavar="S,S,...", help="Also draw at these adapter strengths, for the frontier."),
]


class Split(StrEnum):
    """Which unseen prompts: `dev` while choosing settings, `test` for what is reported."""

    TEST = "test"
    DEV = "dev"


@in_a_group
def evaluate(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the results.", rich_help_panel=OUTPUT)
    ],
    prompts: Annotated[int, typer.Option(min=1, max=MANY, help="Unseen prompts.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Seeds for each prompt.")] = 2,
    suite: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="World to evaluate in.", show_default="the one of the data"),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Target to judge.", show_default="the one of the data"),
    ] = None,
    split: Annotated[Split, typer.Option(help="[bold]dev[/] while choosing settings.")] = Split.TEST,
    score: Scores = None,
    assignments: ScoreOptions = None,
    plugin: PluginFiles = None,
    keep: Keep = 8,
    strengths: Strengths = "",
    device: Device = DeviceName.AUTO,
) -> None:
    """Measure effect and pollution on prompts that training never saw, with confidence intervals.

    Under torchrun or accelerate launch the processes share the drawing.
    A score without its weights is reported as not available; [bold]spf plugins show NAME[/] tells more.
    """
    from spf_cli.loading import refuse_filled, run_config
    from spf_cli.render import show
    from spf_lab.commands.results import read_results, results_table
    from spf_lab.evaluation.chosen import choose_scores, metric_options
    from spf_lab.evaluation.drawing import EvaluationPlan

    plan = EvaluationPlan(
        suite=suite,
        target=target,
        prompts=prompts,
        seeds=seeds,
        split=split.value,
        strengths=numbers("--strengths", strengths),
    )
    refuse_filled(out, "choose another --out")
    _, plugins = run_config(run, plugin or ())
    names, options = score or (), assignments or ()
    kept: dict[str, Any] = {"scores": choose_scores(plugins, names, options), "out": out, "keep": keep}
    kept["metric_options"] = metric_options(plugins, names, options)
    if _together(run, plugins, device, plan, kept):
        command = f"spf report {run} --evaluation {out}"
        show(results_table({str(run): read_results(out)}), f"results in {out}", f"as one page: {command}")


def _together(
    run: Path, plugins: "Plugins", device: str, plan: "EvaluationPlan", kept: dict[str, Any]
) -> bool:
    """Evaluate, or help the main process to draw; returns whether this is the main one."""
    from spf_cli.bars import progress_bars
    from spf_core.runs.run import open_run
    from spf_core.utils.distributed import init_distributed
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
