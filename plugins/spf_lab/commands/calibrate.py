"""`spf calibrate`: the adapter strength that shows the target with the least pollution."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import MANY, Device, DeviceName, PluginFiles, RunFolder, numbers
from spf_core.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from spf_lab.calibration import StrengthCalibration
    from spf_lab.evaluation.statistics import Estimate

JUDGED = "With a suite's judges"
UNJUDGED = "With CLIP"


class Measure(StrEnum):
    """The measure that decides."""

    SPS = "sps"
    RESPONSE = "response"


Tried = Annotated[str, typer.Option(metavar="S,S,...", help="Adapter strengths to try.")]
By = Annotated[
    Measure | None,
    typer.Option(
        help="[bold]sps[/]: the highest SPS, by judges. [bold]response[/]: the target's response, by CLIP.",
        show_default="sps where a suite knows the data",
    ),
]
World = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Suite whose judges decide.",
        show_default="that of the training data",
        rich_help_panel=JUDGED,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Target that the judges look for.",
        show_default="that of the training data",
        rich_help_panel=JUDGED,
    ),
]
Seeds = Annotated[
    int, typer.Option(min=1, max=MANY, help="Number of seeds for each prompt.", rich_help_panel=JUDGED)
]
Kept = Annotated[
    float,
    typer.Option(
        min=0.01, max=1, help="Share of the highest response that must remain.", rich_help_panel=UNJUDGED
    ),
]
Texts = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with the texts to use.", show_default="the run's training data"),
]


def calibrate(
    run: RunFolder,
    strengths: Tried = "0.25,0.5,0.75,1,1.25,1.5",
    prompts: Annotated[int, typer.Option(min=1, max=MANY, help="Number of texts.")] = 16,
    by: By = None,
    suite: World = None,
    target: Target = None,
    seeds: Seeds = 2,
    keep: Kept = 0.95,
    data: Texts = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
) -> None:
    """Generate images at several adapter strengths, and recommend a strength.

    If a suite has judges for the training data, they judge images of development prompts.
    The strength with the highest SPS wins.

    Otherwise, CLIP measures images of the training texts. The lowest strength that keeps
    the response wins. Response says how much of the target CLIP finds in the images.
    Drift says how far images without the target move: 1 is as far as another seed.

    The run stores the recommendation with its weights, and exported files contain it.
    """
    from spf.bars import progress_bars
    from spf.loading import run_config
    from spf_cli.render import show
    from spf_core.preparation.rows import rows_of
    from spf_core.runs.run import open_run
    from spf_lab.calibration import calibrate_strength, store
    from spf_lab.evaluation.judged_strength import judge_strength, judged_subject

    tried = numbers("--strengths", strengths)
    if not tried or min(tried) <= 0:
        raise ConfigError(f"--strengths {strengths}: give numbers above 0 between commas, as in 0.5,1")
    if by is Measure.RESPONSE and (suite or target):
        raise ConfigError(
            "--suite and --target choose judges, but --by response uses CLIP;  leave one of them out"
        )
    _, plugins = run_config(run, plugin or ())
    opened = open_run(run, plugins, device=device)
    if data:
        opened = replace(opened, config=opened.config.model_copy(update={"data": str(data), "reader": None}))
    subject = None
    if by is not Measure.RESPONSE:
        needed = by is Measure.SPS
        subject = judged_subject(opened, plugins, suite=suite, target=target, needed=needed)
    with progress_bars() as progress:
        if subject is None:
            texts = [row.prompt for row in rows_of(opened.config.preparation)]
            found = calibrate_strength(opened, texts, tried, keep=keep, count=prompts, progress=progress)
        else:
            found = judge_strength(
                opened, subject, plugins, tried, prompts=prompts, seeds=seeds, progress=progress
            )
    store(opened, found)
    summary = f"recommended by {found.measure}: {found.recommended:g}, stored in {run}"
    show(strength_table(found), summary)


def strength_table(found: "StrengthCalibration") -> "Table":
    """Scores of each strength; the recommended one has a star."""
    from spf_cli.render import table
    from spf_lab.calibration import StrengthScores

    judged = ("sps", "effect", "spi", "hit rate", "leak rate")
    columns = judged if found.measure == "sps" else ("response", "drift of the base text")
    rows = []
    for each in found.settings:
        name = f"{each.strength:g}{' *' if each.strength == found.recommended else ''}"
        if isinstance(each, StrengthScores):
            shares = (each.hit_rate, each.base_leak)
            cells = (
                _interval(each.sps, "{:.0f}"),
                _interval(each.effect, "{:.2f}"),
                _interval(each.spi, "{:.2f}"),
            )
            rows.append((name, *cells, *(_interval(share, "{:.0%}") for share in shares)))
        else:
            rows.append((name, f"{each.response:.0%}", f"{each.drift:.2f}"))
    return table(found.basis, ("strength", *columns), rows)


def _interval(estimate: "Estimate", form: str) -> str:
    """A value with its 95 % interval."""
    value, *ends = ("-" if each is None else form.format(each) for each in (estimate.value, *estimate.ci))
    return f"{value} [{', '.join(ends)}]"
