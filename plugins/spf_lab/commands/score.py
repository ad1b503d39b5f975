"""`spf score`: what files of weights change besides their target, against their base model."""

from pathlib import Path
from typing import Annotated

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
    readable,
)
from spf_core.errors import RunError
from spf_lab.commands.evaluate import Keep, ScoreOptions, Scores

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
    from spf.measuring import score as measure
    from spf_cli.render import as_table, show

    scored = measure(
        files,
        out,
        target=target,
        backbone=backbone,
        strength=strength,
        prompts=prompts,
        seeds=seeds,
        suite=suite,
        data=data,
        trigger=trigger,
        handover=handover,
        scores=score or (),
        settings=assignments or (),
        keep=keep,
        plugin=plugin or (),
        device=device,
    )
    if scored.table:
        reasons = [f"failed:  {name}: {reason}" for name, reason in scored.failed.items()]
        show(as_table(scored.table), *reasons, f"results: {out}", f"report:  {scored.page}")
    if scored.failed:
        first, reason = next(iter(scored.failed.items()))
        count = len(scored.failed) + len(scored.evaluations)
        raise RunError(f"{len(scored.failed)} of {count} files failed; '{first}': {reason}")
