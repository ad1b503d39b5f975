"""The options of `spf train` that decide its configuration; `spf config show` takes the same."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import CONFIGURATION, OUTPUT
from spf_core.errors import ConfigError

if TYPE_CHECKING:
    from spf_core.config.loading import Layer
    from spf_core.config.run_config import RunConfig
    from spf_core.plugins.discovery import Plugins

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

    @property
    def gib(self) -> int:
        """The number of GiB."""
        return int(self.value.removesuffix("gb"))


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


def new_config(choices: Mapping[str, Any], card: Card | None) -> "tuple[RunConfig, Plugins]":
    """The configuration of a new run; with a card, what the estimate fits onto it is told, and why."""
    from spf_cli.loading import load_config

    return load_config(**choices) if card is None else load_config(**choices, profile=_fitted_to(card))


def _fitted_to(card: Card) -> "Callable[[Callable[[Layer], RunConfig]], Layer]":
    def fitted(resolve: "Callable[[Layer], RunConfig]") -> "Layer":
        from spf_cli.render import note
        from spf_core.training.resources.card_profile import HEADROOM, fit_to_card
        from spf_core.training.resources.run_estimate import size_of

        found = fit_to_card(lambda settings: resolve(lambda _: settings), card.gib)
        for setting, reason in found.reasons.items():
            note("profile", "cyan", f"{setting}: {reason}")
        left = f"the {card.gib * (1 - HEADROOM):.3g} GiB that {HEADROOM:.0%} headroom leave of {card.gib} GiB"
        note("profile", "cyan", f"the estimated peak is {size_of(found.peak)}, of {left}")
        return lambda _: found.layer

    return fitted


def refuse_profile(card: Card | None) -> None:
    """ConfigError for a card where a run goes on."""
    if card is not None:
        raise ConfigError("--profile is for a new run; a resumed run keeps its settings: leave --profile out")


def training_choices(
    *,
    data: str | None,
    trigger: str | None,
    steps: int | None,
    seed: int | None,
    start_from: Path | None,
    evaluate_every: int | None,
    preset: str | None,
    backbone: str | None,
    plugin: Sequence[str] | None,
    config: Path | None,
    assignments: Sequence[str] | None,
    quick: bool,
) -> dict[str, Any]:
    """The options as arguments of `loading.load_config`: flags become overrides of settings."""
    given = {"steps": steps, "seed": seed, "start_from": None if start_from is None else str(start_from)}
    chosen = {name: value for name, value in given.items() if value is not None}
    overrides: dict[str, Any] = {} if data is None else {"data": data}
    overrides |= {"dataset": {"trigger": trigger}} if trigger is not None else {}
    overrides |= {"train": chosen} if chosen else {}
    overrides |= {"evaluation": {"every": evaluate_every}} if evaluate_every is not None else {}
    return {
        "preset": preset,
        "file": config,
        "backbone": backbone,
        "chosen": plugin or (),
        "overrides": overrides,
        "assignments": assignments or (),
        "quick": quick,
    }


def named(out: Path | None) -> Path:
    """The folder of the run to resume; ConfigError where none is given."""
    if out is None:
        raise ConfigError("--resume continues a run; name its folder with --out RUN")
    return out


def resumed_config(out: Path, choices: Mapping[str, Any]) -> "tuple[RunConfig, Plugins]":
    """The saved configuration, with more steps or with other data where options say so."""
    from spf_cli.loading import given_again, is_file, run_config
    from spf_core.training.resume import resumed

    given = dict(choices)
    if given.pop("quick"):
        raise ConfigError(f"--quick is for a new run; the run '{out}' goes on as it began: leave it out")
    files = [Path(item) for item in given["chosen"] if is_file(item)]
    saved, plugins = run_config(out, files, needed=True)
    return resumed(saved, given_again(saved, plugins, **given), out), plugins
