"""`spf.train` and `spf.resume`: what `spf train` does, as functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spf.loading import given_again, is_file, load_config, note, refuse_filled, run_config
from spf.progress import Shown, showing
from spf.runs import Run
from spf_core.config.merging import merge, nested
from spf_core.errors import ConfigError, short
from spf_core.utils.distributed import is_main, world_size
from spf_core.utils.progress import silent

if TYPE_CHECKING:
    from spf_core.config.loading import Layer
    from spf_core.config.run_config import RunConfig
    from spf_core.plugins.discovery import Plugins

CARDS = ("8gb", "12gb", "16gb", "24gb")  # memory of graphics cards that a profile fits a run to


def train(
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    preset: str | None = None,
    backbone: str | None = None,
    plugin: Sequence[str | Path] = (),
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    trigger: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    start_from: "str | Path | Run | None" = None,
    evaluate_every: int | None = None,
    quick: bool = False,
    profile: str | None = None,
    progress: Shown = True,
) -> Run:
    """Train an adapter on one attribute, as `spf train` does, and return the finished run.

    Args:
        data: A training folder, or the id of a Hugging Face dataset.
        out: A new run folder; by default `runs/DATA-PRESET`, with a number if that exists.
        preset: The name of a preset; by default `spf`.
        backbone: The name of the base model: `mini`, `sd15`, `sdxl` or a plugin's.
        plugin: Names of components, and `.py` files whose components the run uses.
        config: A YAML file with settings.
        settings: Settings that override all other sources, as in `{"train.batch_size": 4}`, or nested.
        trigger: Words of the target in the captions, which split each caption in two texts.
        steps: Number of optimizer steps.
        seed: Seed of all random choices.
        start_from: A run whose weights training starts from.
        evaluate_every: Number of steps between evaluations on development prompts.
        quick: Take about half of the time, for less quality.
        profile: Memory of the graphics card, one of `8gb`, `12gb`, `16gb` and `24gb`, to fit the run to.
        progress: True shows progress bars, False shows none, and a function of one's own hears of each stage.

    Raises:
        spf_core.errors.SpfError: Of one line, which names the value, the place and the way out.
    """
    choices = training_choices(
        data=data,
        trigger=trigger,
        steps=steps,
        seed=seed,
        start_from=start_from.path if isinstance(start_from, Run) else start_from,
        evaluate_every=evaluate_every,
        preset=preset,
        backbone=backbone,
        plugin=plugin,
        config=config,
        settings=[nested_settings(settings or {})],
        quick=quick,
    )
    return new_run(choices, out, profile=profile).fit(progress)


def resume(
    run: str | Path | Run,
    *,
    steps: int | None = None,
    data: str | Path | None = None,
    plugin: Sequence[str | Path] = (),
    accept_changed_data: bool = False,
    progress: Shown = True,
) -> Run:
    """Continue an interrupted run bit-identically, or extend a finished one, as `spf train --resume` does.

    Args:
        run: The run, or its folder.
        steps: A new number of steps in all, which extends the run.
        data: The training folder's new place, if it was moved.
        plugin: Plugin files that the run needs. Those that it names run where you allowed their folder.
        accept_changed_data: Continue although the training data changed.
        progress: As of `spf.train`.

    Raises:
        spf_core.errors.SpfError: Of one line, which names the value, the place and the way out.
    """
    choices = training_choices(data=data, steps=steps, plugin=plugin)
    folder = run.path if isinstance(run, Run) else Path(run)
    return resumed_run(choices, folder, accept_changed_data=accept_changed_data).fit(progress)


@dataclass(frozen=True)
class PlannedRun:
    """A run whose configuration is settled and which has not begun, or not gone on."""

    config: "RunConfig"
    plugins: "Plugins"
    out: Path | None = None  # None: a free folder is chosen
    resume: bool = False
    accept_changed_data: bool = False

    @property
    def folder(self) -> Path:
        """Where it is written: `out`, or the first free one of `runs/DATA-PRESET`, `-2`, ...

        ConfigError where several processes train it, since each could find another.
        """
        if self.out is not None:
            return self.out
        if world_size() > 1:
            raise ConfigError("several processes train one run; name its folder with --out RUN")
        name = f"{Path(self.config.data or 'run').resolve().name}-{self.config.preset}"
        numbered = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in count(1))
        return next(folder for folder in numbered if not folder.exists())

    def fit(self, progress: Shown = True) -> Run:
        """Train it to its end. Of several processes, the main one reports the progress."""
        from spf_core.training.loop import train

        folder = self.folder
        with showing(progress if is_main() else silent) as heard:
            train(
                self.config,
                folder,
                self.plugins,
                resume=self.resume,
                accept_changed_data=self.accept_changed_data,
                bounded=True,
                progress=heard,
            )
        return Run(folder, self.plugins)


def new_run(
    choices: Mapping[str, Any], out: str | Path | None = None, *, profile: str | None = None
) -> PlannedRun:
    """A new run of `training_choices`; with a profile, the log says which settings fit it to the card."""
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_filled(folder, "choose another --out, or continue the run in it with --resume")
    fitted = None if profile is None else _fitted_to(_gib(profile))
    return PlannedRun(*load_config(**choices, profile=fitted), folder)


def resumed_run(choices: Mapping[str, Any], folder: Path, *, accept_changed_data: bool = False) -> PlannedRun:
    """The run in `folder`, to go on with more steps or with other data where `training_choices` say so."""
    from spf_core.training.resume import resumed

    given = dict(choices)
    if given.pop("quick"):
        raise ConfigError(f"--quick is for a new run; the run '{folder}' goes on as it began: leave it out")
    files = [Path(item) for item in given["chosen"] if is_file(item)]
    saved, plugins = run_config(folder, files, needed=True)
    config = resumed(saved, given_again(saved, plugins, **given), folder)
    return PlannedRun(config, plugins, folder, resume=True, accept_changed_data=accept_changed_data)


def training_choices(
    *,
    data: str | Path | None = None,
    trigger: str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    start_from: str | Path | None = None,
    evaluate_every: int | None = None,
    preset: str | None = None,
    backbone: str | None = None,
    plugin: Sequence[str | Path] | None = None,
    config: str | Path | None = None,
    assignments: Sequence[str] | None = None,
    settings: Sequence[Mapping[str, Any]] = (),
    quick: bool = False,
) -> dict[str, Any]:
    """What a user chooses, as arguments of `loading.load_config`: steps and the like become settings."""
    given = {"steps": steps, "seed": seed, "start_from": None if start_from is None else str(start_from)}
    chosen = {name: value for name, value in given.items() if value is not None}
    overrides: dict[str, Any] = {} if data is None else {"data": str(data)}
    overrides |= {"dataset": {"trigger": trigger}} if trigger is not None else {}
    overrides |= {"train": chosen} if chosen else {}
    overrides |= {"evaluation": {"every": evaluate_every}} if evaluate_every is not None else {}
    return {
        "preset": preset,
        "file": None if config is None else Path(config),
        "backbone": backbone,
        "chosen": [str(each) for each in plugin or ()],
        "overrides": reduce(merge, settings, overrides),
        "assignments": assignments or (),
        "quick": quick,
    }


def nested_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`{"train.batch_size": 4}` as `{"train": {"batch_size": 4}}`; later keys win over earlier ones."""
    result: dict[str, Any] = {}
    for path, value in settings.items():
        plain = str(value) if isinstance(value, Path) else value
        result = merge(result, nested(path, plain, f"settings {short(path)}"))
    return result


def _gib(card: str) -> int:
    if card not in CARDS:
        raise ConfigError(f"profile {short(card)}: choose one of {', '.join(CARDS)}")
    return int(card.removesuffix("gb"))


def _fitted_to(gib: int) -> "Callable[[Callable[[Layer], RunConfig]], Layer]":
    def fitted(resolve: "Callable[[Layer], RunConfig]") -> "Layer":
        from spf_core.training.resources.card_profile import HEADROOM, fit_to_card
        from spf_core.training.resources.run_estimate import size_of

        found = fit_to_card(lambda settings: resolve(lambda _: settings), gib)
        for setting, reason in found.reasons.items():
            note("profile", f"{setting}: {reason}")
        left = f"the {gib * (1 - HEADROOM):.3g} GiB that {HEADROOM:.0%} headroom leave of {gib} GiB"
        note("profile", f"the estimated peak is {size_of(found.peak)}, of {left}")
        return lambda _: found.layer

    return fitted
