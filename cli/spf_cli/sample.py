"""`spf sample`: images of the base model and the tuned model from the same seeds."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import (
    MANY,
    OUTPUT,
    Device,
    DeviceName,
    FirstSeed,
    Guidance,
    Handover,
    PluginFiles,
    PromptFile,
    SamplerSteps,
    numbers,
    readable,
)
from spf_core.errors import ConfigError, RunError
from spf_core.utils.paths import expanded

if TYPE_CHECKING:
    from spf.runs import Run


def _one_run(ctx: typer.Context, given: list[Path] | None) -> list[Path]:
    """RUN as it is; what is wrong with it is said before anything else of the command."""
    from spf.loading import refuse_data

    if ctx.resilient_parsing or not given:
        return []
    if len(given) > 1:
        together = " ".join(f"--run {shlex.quote(str(each))}" for each in given)
        raise ConfigError(
            f"{len(given)} runs are given; to combine them, write {together}; to see them side by side, use "
            "spf compare"
        )
    refuse_data(Path(expanded(str(given[0]))))
    return given


OneRun = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="RUN",
        help="One run folder of [bold]spf train[/]. For several, use --run.",
        show_default=False,
        is_eager=True,
        callback=_one_run,
    ),
]
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
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.png|DIR",
            help="Image file to write. With --prompt-file, a folder.",
            rich_help_panel=OUTPUT,
        ),
    ],
    run: OneRun = None,
    runs: Runs = None,
    prompt: Annotated[
        str | None, typer.Option(callback=readable, help="Base text.", show_default=False)
    ] = None,
    prompt_file: PromptFile = None,
    target: Annotated[
        str, typer.Option(callback=readable, help="Target text, which is added to the prompt.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Number of seeds, one column each.")] = 4,
    first_seed: FirstSeed = 0,
    strength: Strengths = "1",
    compare: Annotated[bool, typer.Option("--compare", help="Add rows of the base model.")] = False,
    steps: SamplerSteps = None,
    guidance: Guidance = None,
    handover: Handover = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Generate a grid of images, with one column for each seed.

    With --compare, the grid also shows the base model: under the prompt and,
    with --target, under prompt and target. Above --handover, the base model
    samples the base text in every row.

    With --prompt-file, spf writes one grid for each prompt into the folder
    that --out names.

    The PNG's metadata holds texts, seeds, strength and run.
    """
    from spf.bars import prefixed, progress_bars
    from spf.sampling import sample as generate
    from spf_cli.render import say

    texts = asked_texts([] if prompt is None else [prompt], prompt_file)
    places = _files(out, texts, one=prompt_file is None, overwrite=overwrite)
    folders = chosen_runs(run[0] if run else None, runs or ())
    opened, own = _opened(folders, strengths(strength, len(folders)), plugin or (), device)
    with progress_bars() as bars:
        for place, text in places.items():
            generate(
                opened,
                text,
                target=target,
                seeds=seeds,
                first_seed=first_seed,
                strength=own,
                compare=compare,
                steps=steps,
                guidance=guidance,
                handover=handover,
                out=place,
                overwrite=overwrite,
                progress=bars if len(places) == 1 else prefixed(bars, place.stem),
            )
    say(f"wrote {out}" if prompt_file is None else f"wrote {len(places)} grids to {out}")


def _opened(
    folders: Sequence[Path], at: Sequence[float], files: Sequence[Path], device: DeviceName
) -> "tuple[Run, float]":
    """The run, or several combined, and the strength to draw it at; combined runs hold their own."""
    from spf.runs import open_run, open_runs

    if len(folders) == 1 and len(at) == 1:
        return open_run(folders[0], plugin=files, device=device), at[0]
    return open_runs(folders, at, plugin=files, device=device), 1.0


def _files(out: Path, texts: Sequence[str], *, one: bool, overwrite: bool) -> dict[Path, str]:
    """`out` itself, or a file in it for each text; RunError when it would replace something."""
    from spf.loading import refuse_existing

    if one:
        places = {out: texts[0]}
    elif out.is_file() or out.suffix.lower() == ".png":
        raise RunError(f"'{out}' names a file, and --prompt-file makes several; give --out a folder")
    else:
        places = {out / f"{number:03d}-{_slug(text)}.png": text for number, text in enumerate(texts, 1)}
    for place in places:
        refuse_existing(place, overwrite)
    return places


def _slug(text: str) -> str:
    """The first words of a text as a part of a file name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower().encode("ascii", "ignore").decode()).strip("-")
    return words[:40].strip("-") or "prompt"


def asked_texts(prompts: Sequence[str], file: Path | None) -> list[str]:
    """Each --prompt, or those of the --prompt-file; ConfigError for both or neither."""
    from spf_core.data.prompt_files import read_prompts

    if bool(prompts) == (file is not None):
        raise ConfigError(
            f"{'two sources of texts are' if prompts else 'no text is'} given; "
            "use --prompt TEXT or --prompt-file FILE"
        )
    return list(prompts if file is None else read_prompts(file))


def chosen_runs(run: Path | None, runs: Sequence[Path]) -> list[Path]:
    """RUN, or every --run; ConfigError for both or neither."""
    if (run is None) == (not runs):
        raise ConfigError(
            f"{'RUN and --run are both' if run else 'no run is'} given; "
            "give one as RUN, or several with --run A --run B"
        )
    return [run] if run is not None else list(runs)


def strengths(text: str, runs: int) -> list[float]:
    """`"0.8,1"` as a number for each run, a single one being that of all; ConfigError when a part is none."""
    found = numbers("--strength", text)
    if not found or min(found) < 0:
        raise ConfigError(f"--strength {text}: give numbers from 0 on, between commas, as in 0.8,1")
    return list(found) * runs if len(found) == 1 else list(found)
