"""`spf train`: flags become choices; the work is that of `spf.training`."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.dryrun import show_plan
from spf_cli.options import (
    OUTPUT,
    Assignments,
    Backbone,
    ConfigFile,
    Plugin,
    Preset,
    Trigger,
    in_a_group,
    same_options,
)
from spf_cli.training_options import (
    CardProfile,
    EvaluateEvery,
    Quick,
    Resume,
    RunToWrite,
    StartFrom,
    TrainingData,
    TrainingSeed,
    TrainingSteps,
    planned_run,
)
from spf_core.utils.distributed import is_main

if TYPE_CHECKING:
    from spf.training import PlannedRun

AcceptChangedData = Annotated[
    bool,
    typer.Option(
        "--accept-changed-data",
        help="With --resume: continue although the training data changed.",
        rich_help_panel=OUTPUT,
    ),
]


@in_a_group
def train(
    ctx: typer.Context,
    out: RunToWrite = None,
    data: TrainingData = None,
    trigger: Trigger = None,
    steps: TrainingSteps = None,
    seed: TrainingSeed = None,
    start_from: StartFrom = None,
    evaluate_every: EvaluateEvery = None,
    preset: Preset = None,
    backbone: Backbone = None,
    plugin: Plugin = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    quick: Quick = False,
    profile: CardProfile = None,
    resume: Resume = False,
    accept: AcceptChangedData = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show settings, terms and estimates of the run, then stop.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
) -> None:
    """Train an adapter on one attribute.

    Settings come from these sources: defaults, preset, backbone, --quick, --profile, --config,
    --backbone and --plugin, other options, --set. Later ones override earlier ones.
    """
    from spf.training import training_choices

    choices = training_choices(
        data=data,
        trigger=trigger,
        steps=steps,
        seed=seed,
        start_from=start_from,
        evaluate_every=evaluate_every,
        preset=preset,
        backbone=backbone,
        plugin=plugin,
        config=config,
        assignments=assignments,
        quick=quick,
    )
    planned = planned_run(choices, out, profile, resume=resume, accept=accept)
    if dry_run:
        show_plan(planned.config, same_options(ctx, "spf config show", leave_out=("accept", "dry_run")))
    elif is_main():
        _fit(planned)
    else:
        planned.fit()


def _fit(planned: "PlannedRun") -> None:
    from spf.bars import progress_bars, when_planned
    from spf_cli.render import say
    from spf_core.sampling.handover import read_calibration

    out = planned.folder
    begins = f"run folder: {out}; to watch the training, open {out / 'index.html'} once it takes steps"
    with progress_bars() as progress:
        replace(planned, out=out).fit(when_planned(progress, lambda: say(begins)))
    say(f"trained {planned.config.train.steps} steps: {out}")
    if found := read_calibration(out):
        keep = planned.config.calibration.keep
        say(f"handover: {found.handover:g}, the lowest that keeps {keep:.0%} of the target")
    if planned.config.distillation.enabled:
        say("the handover is distilled into the weights: clients need none")
    if (out / "index.html").is_file():
        say(f"its page: {out / 'index.html'}")
    for line in _next_commands(out):
        say(line)


def _next_commands(run: Path) -> Iterator[str]:
    """What a user does with a finished run, as commands that can be copied."""
    from spf_core.export.facts import TARGETS
    from spf_core.runs.checkpoint import ADAPTER_FILE, read_header

    _, metadata = read_header(run / ADAPTER_FILE, "train again")
    targets = json.loads(metadata.get(TARGETS, "[]"))[:1]
    texts = ["--prompt", "a portrait of a woman", *(["--target", *targets] if targets else [])]
    sample = ["spf", "sample", str(run), *texts, "--compare", "--out", str(run / "grid.png")]
    yield f"to see images: {shlex.join(sample)}"
    evaluate = ["spf", "evaluate", str(run), "--out", str(run / "evaluation")]
    yield f"to measure it: {shlex.join(evaluate)}"
