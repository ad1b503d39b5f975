"""`spf train`: flags become overrides; the work is `spf_core.training.loop.train`."""

import json
import shlex
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Card,
    CardProfile,
    EvaluateEvery,
    Quick,
    Resume,
    RunToWrite,
    StartFrom,
    TrainingData,
    TrainingSeed,
    TrainingSteps,
    named,
    new_config,
    refuse_profile,
    resumed_config,
    training_choices,
)
from spf_core.errors import ConfigError
from spf_core.utils.distributed import is_main, world_size

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig
    from spf_core.plugins.discovery import Plugins

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
    if resume:
        refuse_profile(profile)
        resolved, plugins = resumed_config(named(out), choices)
    else:
        resolved, plugins = _start(out, choices, profile, accept=accept)
    if dry_run:
        show_plan(resolved, same_options(ctx, "spf config show", leave_out=("accept", "dry_run")))
    else:
        _fit(resolved, out or _free_folder(resolved), plugins, resume=resume, accept=accept)


def _free_folder(config: "RunConfig") -> Path:
    """`runs/DATA-PRESET`, or the first free number of it; each of several processes could find another."""
    if world_size() > 1:
        raise ConfigError("several processes train one run; name its folder with --out RUN")
    name = f"{Path(config.data or 'run').resolve().name}-{config.preset}"
    numbered = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in numbered if not folder.exists())


def _start(
    out: Path | None, choices: Mapping[str, Any], profile: Card | None, *, accept: bool
) -> "tuple[RunConfig, Plugins]":
    from spf_cli.loading import refuse_filled

    if accept:
        raise ConfigError("--accept-changed-data goes with --resume; leave it out of a new run")
    if out is not None:
        refuse_filled(out, "choose another --out, or continue the run in it with --resume")
    return new_config(choices, profile)


def _fit(config: "RunConfig", out: Path, plugins: "Plugins", *, resume: bool, accept: bool) -> None:
    from spf_cli.bars import progress_bars, when_planned
    from spf_cli.render import say
    from spf_core.sampling.handover import read_calibration
    from spf_core.training.loop import train

    if not is_main():
        train(config, out, plugins, resume=resume, accept_changed_data=accept, bounded=True)
        return
    begins = f"run folder: {out}; to watch the training, open {out / 'index.html'} once it takes steps"
    with progress_bars() as progress:
        heard = when_planned(progress, lambda: say(begins))
        train(config, out, plugins, resume=resume, accept_changed_data=accept, bounded=True, progress=heard)
    say(f"trained {config.train.steps} steps: {out}")
    if found := read_calibration(out):
        say(
            f"handover: {found.handover:g}, the lowest that keeps {config.calibration.keep:.0%} of the target"
        )
    if config.distillation.enabled:
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
