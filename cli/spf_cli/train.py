"""`spf train`: flags become overrides; the work is `spf_core.training.loop.train`."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.dryrun import show_plan
from spf_cli.options import OUTPUT, Assignments, Backbone, ConfigFile, Plugin, Preset, Trigger, in_a_group
from spf_core.errors import ConfigError
from spf_core.utils.distributed import is_main, world_size

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig
    from spf_core.plugins.discovery import Plugins

StartFrom = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Start from the weights of this run.", show_default="the base model"),
]

Out = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="A new run folder.",
        show_default="runs/DATA-PRESET, with a number if that exists",
        rich_help_panel=OUTPUT,
    ),
]
AcceptChangedData = Annotated[
    bool,
    typer.Option(
        "--accept-changed-data",
        help="With --resume: continue although the training data changed.",
        rich_help_panel=OUTPUT,
    ),
]
EvaluateEvery = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="K", help="Evaluate every K steps, on development prompts.", show_default="never"
    ),
]


@in_a_group
def train(
    out: Out = None,
    data: Annotated[
        str | None, typer.Option(metavar="DIR|ID", help="A training folder, or a Hugging Face dataset.")
    ] = None,
    trigger: Trigger = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Number of optimizer steps.", show_default="of the preset")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of all random choices.", show_default="of the preset")
    ] = None,
    start_from: StartFrom = None,
    evaluate_every: EvaluateEvery = None,
    preset: Preset = None,
    backbone: Backbone = None,
    plugin: Plugin = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue the run in RUN. With more --steps, extend it.", rich_help_panel=OUTPUT
        ),
    ] = False,
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

    Settings come from these sources: defaults, preset, backbone, --config, --backbone and --plugin,
    other options, --set. Later ones override earlier ones.
    """
    given = {"steps": steps, "seed": seed, "start_from": None if start_from is None else str(start_from)}
    chosen = {name: value for name, value in given.items() if value is not None}
    overrides: dict[str, Any] = {} if data is None else {"data": data}
    overrides |= {"dataset": {"trigger": trigger}} if trigger is not None else {}
    overrides |= {"train": chosen} if chosen else {}
    overrides |= {"evaluation": {"every": evaluate_every}} if evaluate_every is not None else {}
    choices: dict[str, Any] = {
        "preset": preset,
        "file": config,
        "backbone": backbone,
        "chosen": plugin or (),
        "overrides": overrides,
        "assignments": assignments or (),
    }
    resolved, plugins = _resume(_named(out), choices) if resume else _start(out, choices, accept=accept)
    if dry_run:
        show_plan(resolved)
    else:
        _fit(resolved, out or _free_folder(resolved), plugins, resume=resume, accept=accept)


def _named(out: Path | None) -> Path:

    if out is None:
        raise ConfigError("--resume continues a run; name its folder with --out RUN")
    return out


def _free_folder(config: "RunConfig") -> Path:
    """`runs/DATA-PRESET`, or the first free number of it; each of several processes could find another."""
    if world_size() > 1:
        raise ConfigError("several processes train one run; name its folder with --out RUN")
    name = f"{Path(config.data or 'run').resolve().name}-{config.preset}"
    numbered = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(folder for folder in numbered if not folder.exists())


def _start(out: Path | None, choices: Mapping[str, Any], *, accept: bool) -> "tuple[RunConfig, Plugins]":
    from spf_cli.loading import load_config, refuse_filled

    if accept:
        raise ConfigError("--accept-changed-data goes with --resume; leave it out of a new run")
    if out is not None:
        refuse_filled(out, "choose another --out, or continue the run in it with --resume")
    return load_config(**choices)


def _resume(out: Path, choices: Mapping[str, Any]) -> "tuple[RunConfig, Plugins]":
    """The saved configuration, with more steps or with other data where options say so."""
    from spf_cli.loading import given_again, is_file, run_config
    from spf_core.training.resume import resumed

    files = [Path(item) for item in choices["chosen"] if is_file(item)]
    saved, plugins = run_config(out, files, needed=True)
    return resumed(saved, given_again(saved, plugins, **choices), out), plugins


def _fit(config: "RunConfig", out: Path, plugins: "Plugins", *, resume: bool, accept: bool) -> None:
    from spf_cli.bars import progress_bars
    from spf_cli.render import say
    from spf_core.sampling.handover import read_calibration
    from spf_core.training.loop import train

    if not is_main():
        train(config, out, plugins, resume=resume, accept_changed_data=accept)
        return
    with progress_bars() as progress:
        train(config, out, plugins, resume=resume, accept_changed_data=accept, progress=progress)
    say(f"trained {config.train.steps} steps: {out}")
    if found := read_calibration(out):
        say(
            f"handover: {found.handover:g}, the lowest that keeps {config.calibration.keep:.0%} of the target"
        )
    if (out / "index.html").is_file():
        say(f"its page: {out / 'index.html'}")
    say(f'to see images: spf sample {out} --prompt "..." --target "..." --compare --out grid.png')
