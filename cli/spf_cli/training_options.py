"""The options of `spf train` that decide its configuration; `spf config show` takes the same."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import CONFIGURATION, OUTPUT
from spf_core.errors import ConfigError

if TYPE_CHECKING:
    from spf.training import PlannedRun

RunToWrite = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="RUN",
        help="A new run folder.",
        show_default="runs/DATA-PRESET, with a number if that exists",
        rich_help_panel=OUTPUT,
    ),
]
TrainingData = Annotated[
    str | None, typer.Option(metavar="DIR|ID", help="A training folder, or a Hugging Face dataset.")
]
TrainingSteps = Annotated[
    int | None, typer.Option(min=1, help="Number of optimizer steps.", show_default="of the preset")
]
TrainingSeed = Annotated[
    int | None, typer.Option(min=0, help="Seed of all random choices.", show_default="of the preset")
]
StartFrom = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Start from the weights of this run.", show_default="the base model"),
]
EvaluateEvery = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="K", help="Evaluate every K steps, on development prompts.", show_default="never"
    ),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Take about half of the time, for less quality: fewer steps, fewer images drawn before "
        "training, no calibration.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue the run in RUN. With more --steps, extend it.", rich_help_panel=OUTPUT
    ),
]


class Card(StrEnum):
    """The memory of a graphics card."""

    GIB_8 = "8gb"
    GIB_12 = "12gb"
    GIB_16 = "16gb"
    GIB_24 = "24gb"


CardProfile = Annotated[
    Card | None,
    typer.Option(
        "--profile",
        help="Choose the memory settings so that the estimate fits a GPU of this size, and say why. "
        "Settings that you give yourself stay.",
        show_default=False,
        rich_help_panel=CONFIGURATION,
    ),
]


def planned_run(
    choices: Mapping[str, Any], out: Path | None, card: Card | None, *, resume: bool, accept: bool = False
) -> "PlannedRun":
    """The run that the options describe: a new one, or the one in `out`; ConfigError for a contradiction."""
    from spf.training import new_run, resumed_run

    if resume and card is not None:
        raise ConfigError("--profile is for a new run; a resumed run keeps its settings: leave --profile out")
    if resume:
        if out is None:
            raise ConfigError("--resume continues a run; name its folder with --out RUN")
        return resumed_run(choices, out, accept_changed_data=accept)
    if accept:
        raise ConfigError("--accept-changed-data goes with --resume; leave it out of a new run")
    return new_run(choices, out, profile=None if card is None else card.value)
