"""`spf sample`: images of the base model and the tuned model from the same seeds."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from spf_core.utils.prompts import Prompt

if TYPE_CHECKING:
    from PIL.Image import Image

    from spf_core.config.sections import SampleSection
    from spf_core.interfaces import PromptEditor
    from spf_core.runs.run import OpenRun
    from spf_core.utils.progress import Progress


def _one_run(ctx: typer.Context, given: list[Path] | None) -> list[Path]:
    """RUN as it is; what is wrong with it is said before anything else of the command."""
    from spf_cli.loading import refuse_data

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
    from spf_cli.render import say

    texts = asked_prompts([] if prompt is None else [prompt], prompt_file, target)
    files = _files(out, texts, one=prompt_file is None, overwrite=overwrite)
    folders = chosen_runs(run[0] if run else None, runs or ())
    given = strengths(strength, len(folders))
    opened, at = open_folders(folders, given, device, plugin or ())
    options = sample_options(opened, steps=steps, guidance=guidance, handover=handover)
    drawn = range(first_seed, first_seed + seeds)
    facts = {"strength": ",".join(f"{each:g}" for each in given), "seeds": " ".join(map(str, drawn))}
    facts["run"] = "\n".join(folder.resolve().name for folder in folders)
    draw = partial(grid_rows, opened, seeds=drawn, strength=at, options=options, compare=compare)
    _write_grids(dict(zip(files, texts, strict=True)), draw, [f"seed {seed}" for seed in drawn], facts)
    say(f"wrote {out}" if prompt_file is None else f"wrote {len(files)} grids to {out}")


def asked_prompts(prompts: Sequence[str], file: Path | None, target: str) -> "list[Prompt]":
    """Each --prompt, or those of the --prompt-file, with the target; ConfigError for both or neither."""
    from spf_core.data.prompt_files import read_prompts

    if bool(prompts) == (file is not None):
        raise ConfigError(
            f"{'two sources of texts are' if prompts else 'no text is'} given; "
            "use --prompt TEXT or --prompt-file FILE"
        )
    texts = read_prompts(file) if file is not None else dict.fromkeys(map(base_text, prompts))
    return [Prompt(text, target.strip() or None) for text in texts]


def _write_grids(
    asked: "Mapping[Path, Prompt]",
    draw: "Callable[..., dict[str, list[Image]]]",
    captions: Sequence[str],
    facts: Mapping[str, str],
) -> None:
    """Draw and write a grid for each file and its text, one after another."""
    from spf_cli.bars import prefixed, progress_bars
    from spf_core.sampling.sampler import comparison_grid, save_png

    with progress_bars() as bars:
        for file, text in asked.items():
            rows = draw(text=text, progress=bars if len(asked) == 1 else prefixed(bars, file.stem))
            said = {"prompt": text.base_text, "target": text.target_text or "", **facts}
            save_png(comparison_grid(rows, captions), file, said)


def _files(out: Path, texts: "Sequence[Prompt]", *, one: bool, overwrite: bool) -> list[Path]:
    """`out` itself, or a file in it for each text; RunError when it would replace something."""
    if one:
        refuse_existing(out, overwrite)
        return [out]
    if out.is_file() or out.suffix.lower() == ".png":
        raise RunError(f"'{out}' names a file, and --prompt-file makes several; give --out a folder")
    files = [out / f"{number:03d}-{_slug(text.base_text)}.png" for number, text in enumerate(texts, 1)]
    for file in files:
        refuse_existing(file, overwrite)
    return files


def _slug(text: str) -> str:
    """The first words of a text as a part of a file name."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower().encode("ascii", "ignore").decode()).strip("-")
    return words[:40].strip("-") or "prompt"


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
    texts = [text] * len(seeds)
    rows = original_rows(opened, texts, seeds, options, progress=progress) if compare else {}
    suffix = " + target" if text.target_text else ""
    at = "" if strength == 1 else f" x {strength:g}"
    drawn = tuned_images(opened, texts, seeds, strength, options, progress=progress, stage=f"tuned{suffix}")
    return {**rows, f"tuned{at}{suffix}": drawn}


def original_rows(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    seeds: Sequence[int],
    options: "SampleSection",
    *,
    progress: "Progress",
) -> "dict[str, list[Image]]":
    """What the base model draws of the base texts, each with its seed, and of the complete texts."""
    asked = {"original": [text.base_text for text in texts]}
    if any(text.target_text for text in texts):
        asked["original + target"] = [text.complete_text for text in texts]
    with opened.adapter.disabled():
        return {
            name: _draw(opened, texts, words, seeds, options, progress=progress, stage=name)
            for name, words in asked.items()
        }


def tuned_images(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    seeds: Sequence[int],
    strength: float,
    options: "SampleSection",
    *,
    progress: "Progress",
    stage: str,
) -> "list[Image]":
    """What the tuned model draws of each complete text with its seed; the adapter is then at strength 1."""
    words, editor = [text.complete_text for text in texts], opened.editor
    opened.adapter.scale(strength)
    try:
        return _draw(opened, texts, words, seeds, options, progress=progress, stage=stage, editor=editor)
    finally:
        opened.adapter.scale(1.0)


def _draw(
    opened: "OpenRun",
    texts: "Sequence[Prompt]",
    words: Sequence[str],
    seeds: Sequence[int],
    options: "SampleSection",
    *,
    progress: "Progress",
    stage: str,
    editor: "PromptEditor | None" = None,
) -> "list[Image]":
    from spf_core.sampling.sampler import BeforeHandover, sample_images

    return sample_images(
        opened.backbone,
        words,
        seeds,
        options,
        before_handover=BeforeHandover([text.base_text for text in texts], opened.adapter),
        editor=editor,
        progress=progress,
        stage=stage,
    )


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


def open_folders(
    runs: Sequence[Path], given: Sequence[float], device: str, plugin: Sequence[Path] = ()
) -> "tuple[OpenRun, float]":
    """One run with its strength, or several that hold their own strengths, at 1."""
    from spf_cli.loading import load, permitted, refuse_data
    from spf_core.sampling.composition import open_runs

    if len(runs) == 1 and len(given) == 1:
        return open_folder(runs[0], device, plugin), given[0]
    for run in runs:
        refuse_data(run)
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
