"""`spf sample`: images of the base model and the tuned model from the same seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import (
    LAST_SEED,
    MANY,
    OUTPUT,
    Device,
    DeviceName,
    Handover,
    OptionalRun,
    PluginFiles,
    numbers,
    readable,
)
from spf_core.errors import ConfigError, RunError
from spf_core.utils.prompts import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

    from spf_core.config.sections import SampleSection
    from spf_core.interfaces import PromptEditor
    from spf_core.runs.run import OpenRun
    from spf_core.utils.progress import Progress
    from spf_core.utils.prompts import Prompt


Runs = Annotated[
    list[Path] | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="In place of RUN: a run to combine with others of the same base model. Repeatable.",
    ),
]
Strengths = Annotated[
    str,
    typer.Option(
        metavar="S,S,...",
        help="Strength of the adapter, one for each run. 0 is the base model, 1 the tuned model.",
    ),
]


def sample(
    prompt: Annotated[str, typer.Option(callback=readable, help="Base text.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE.png", help="Image file to write.", rich_help_panel=OUTPUT)
    ],
    run: OptionalRun = None,
    runs: Runs = None,
    target: Annotated[
        str, typer.Option(callback=readable, help="Target text, which is added to the prompt.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Number of seeds, one column each.")] = 4,
    first_seed: Annotated[
        int, typer.Option(min=0, max=LAST_SEED, help="The first seed. The others follow it.")
    ] = 0,
    strength: Strengths = "1",
    compare: Annotated[bool, typer.Option("--compare", help="Add rows of the base model.")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MANY, help="Number of sampler steps.", show_default="of the run")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="Classifier-free guidance scale.", show_default="of the run")
    ] = None,
    handover: Handover = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Generate a grid of images, with one column for each seed.

    With --compare, the grid also shows the base model: under the prompt and, with --target, under prompt and
    target. Above --handover, the base model samples the base text in every row.

    The PNG's metadata holds texts, seeds, strength and run.
    """
    from spf_cli.bars import progress_bars
    from spf_cli.render import say
    from spf_core.sampling.sampler import comparison_grid, save_png

    text = Prompt(base_text(prompt), target.strip() or None)
    refuse_existing(out, overwrite)
    folders = chosen_runs(run, runs or ())
    given = strengths(strength, len(folders))
    opened, at = open_folders(folders, given, device, plugin or ())
    options = sample_options(opened, steps=steps, guidance=guidance, handover=handover)
    drawn = range(first_seed, first_seed + seeds)
    with progress_bars() as progress:
        rows = grid_rows(opened, text, drawn, at, options, compare=compare, progress=progress)
    facts = {"prompt": prompt, "target": target, "strength": ",".join(f"{each:g}" for each in given)}
    facts["run"] = "\n".join(folder.resolve().name for folder in folders)
    facts["seeds"] = " ".join(str(seed) for seed in drawn)
    save_png(comparison_grid(rows, [f"seed {seed}" for seed in drawn]), out, facts)
    say(f"wrote {out}")


def grid_rows(
    opened: "OpenRun",
    text: "Prompt",
    seeds: Sequence[int],
    strength: float,
    options: "SampleSection",
    *,
    compare: bool,
    progress: "Progress",
) -> "dict[str, list[Image]]":
    """Labelled rows of same-seed images; the adapter is back at strength 1 afterwards."""
    from spf_core.sampling.sampler import BeforeHandover, sample_images

    before_handover = BeforeHandover([text.base_text] * len(seeds), opened.adapter)

    def draw(words: str, stage: str, editor: "PromptEditor | None" = None) -> "list[Image]":
        return sample_images(
            opened.backbone,
            [words] * len(seeds),
            seeds,
            options,
            before_handover=before_handover,
            editor=editor,
            progress=progress,
            stage=stage,
        )

    rows: dict[str, list[Image]] = {}
    suffix = " + target" if text.target_text else ""
    if compare:
        with opened.adapter.disabled():
            rows["original"] = draw(text.base_text, "original")
            if suffix:
                rows[f"original{suffix}"] = draw(text.complete_text, f"original{suffix}")
    opened.adapter.scale(strength)
    at = "" if strength == 1 else f" x {strength:g}"
    try:
        rows[f"tuned{at}{suffix}"] = draw(text.complete_text, f"tuned{suffix}", opened.editor)
    finally:
        opened.adapter.scale(1.0)
    return rows


def chosen_runs(run: Path | None, runs: Sequence[Path]) -> list[Path]:
    """RUN, or every --run; ConfigError for both or neither."""
    if (run is None) == (not runs):
        raise ConfigError("give one run as RUN, or several with --run A --run B")
    return [run] if run is not None else list(runs)


def strengths(text: str, runs: int) -> list[float]:
    """`"0.8,1"` as a number for each run, a single one being that of all; ConfigError when a part is none."""
    found = numbers("--strength", text)
    if not found or min(found) < 0:
        raise ConfigError(f"--strength {text}: give numbers from 0 on, between commas, as in 0.8,1")
    return list(found) * runs if len(found) == 1 else list(found)


def open_folders(
    runs: Sequence[Path], given: Sequence[float], device: str, plugin: Sequence[Path] = ()
) -> "tuple[OpenRun, float]":
    """One run with its strength, or several that hold their own strengths, at 1."""
    from spf_cli.loading import load, permitted
    from spf_core.sampling.composition import open_runs

    if len(runs) == 1 and len(given) == 1:
        return open_folder(runs[0], device, plugin), given[0]
    named = [file for run in runs for file in permitted(run / "config.yaml", plugin, needed=False)]
    plugins = load([*plugin, *named])
    return open_runs(runs, given, plugins, device=device), 1.0


def open_folder(run: Path, device: str, plugin: Sequence[Path] = ()) -> "OpenRun":
    """Open a run folder with the given plugin files and those that it names and that may run."""
    from spf_cli.loading import run_config
    from spf_core.runs.run import open_run

    _, plugins = run_config(run, plugin)
    return open_run(run, plugins, device=device)


def sample_options(opened: "OpenRun", **flags: float | None) -> "SampleSection":
    """The run's sampling options, with the flags that were given in their place."""
    given = {name: value for name, value in flags.items() if value is not None}
    return opened.config.sample.model_copy(update=given)


def base_text(prompt: str) -> str:
    """The prompt without blanks around it; ConfigError when nothing is left."""
    if not prompt.strip():
        raise ConfigError('--prompt is empty; describe the portrait, as in --prompt "a woman with red hair"')
    return prompt.strip()


def refuse_existing(out: Path, overwrite: bool) -> None:
    """RunError when `out` is a folder, or a file that may not be replaced."""
    if out.is_dir():
        raise RunError(f"'{out}' is a folder; give --out a file name such as {out / 'grid.png'}")
    if out.exists() and not overwrite:
        raise RunError(f"'{out}' exists; choose another --out or add --overwrite")
