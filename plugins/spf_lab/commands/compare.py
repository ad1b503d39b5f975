"""`spf compare`: several runs and their base model side by side, with the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import (
    MANY,
    OUTPUT,
    BaseModel,
    Device,
    DeviceName,
    FirstSeed,
    Guidance,
    PluginFiles,
    PromptFile,
    SamplerSteps,
    readable,
)
from spf_core.errors import ConfigError, RunError
from spf_core.utils.prompts import Prompt

if TYPE_CHECKING:
    from spf_core.config.sections import SampleSection
    from spf_core.runs.run import OpenRun
    from spf_core.utils.progress import Progress
    from spf_lab.showing.side_by_side import SideBySide

Models = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN|FILE",
        help="Runs, LoRA files or whole models on the same base model, one column each.",
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        callback=readable,
        help="Base text. Repeatable.",
        show_default="validation prompts or first training texts of the first run",
    ),
]
Strengths = Annotated[
    str, typer.Option(metavar="S,S,...", help="Strength of the adapters: one for all, or one for each.")
]


def compare(
    models: Models,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE.png|.html",
            help="Image of a grid, or HTML page with a slider.",
            rich_help_panel=OUTPUT,
        ),
    ],
    prompt: Prompts = None,
    prompt_file: PromptFile = None,
    target: Annotated[
        str, typer.Option(callback=readable, help="Target text, which is added to each prompt.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, max=MANY, help="Number of seeds for each prompt.")] = 2,
    first_seed: FirstSeed = 0,
    strength: Strengths = "1",
    steps: SamplerSteps = None,
    guidance: Guidance = None,
    backbone: BaseModel = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Show runs or LoRA files side by side, beside their base model.

    Each row is a prompt with a seed. The columns are the base model, the
    base model with the target in the prompt, and each run.

    All columns have the number of steps and the guidance of the first run.
    Each run keeps its own handover.
    """
    from spf.bars import progress_bars
    from spf.loading import refuse_existing
    from spf.sampling import checked_text
    from spf_cli.render import say
    from spf_cli.sample import asked_texts
    from spf_lab.showing.side_by_side import column_titles

    if out.suffix.lower() not in (".png", ".html"):
        raise ConfigError(
            f"--out {out}: neither a grid nor a page; "
            "give a name that ends with .png (a grid) or .html (a page)"
        )
    refuse_existing(out, overwrite)
    given = _strengths(strength, models)
    named = dict(zip(column_titles(models, given), zip(models, given, strict=True), strict=True))
    asked = asked_texts(prompt or [], prompt_file) if prompt or prompt_file else []
    texts = [Prompt(text, target.strip() or None) for text in dict.fromkeys(map(checked_text, asked))]
    request = Request(texts, target.strip(), range(first_seed, first_seed + seeds), steps, guidance)
    opening = _opening(models, backbone, device, plugin or ())
    with progress_bars() as progress:
        shown = request.drawn(named, opening, progress)
    _write(out, shown)
    say(f"wrote {out}")


@dataclass(frozen=True)
class Request:
    """What is to be drawn; without `texts`, those of the first run with `target` in them."""

    texts: "Sequence[Prompt]"
    target: str
    seeds: Sequence[int]
    steps: int | None
    guidance: float | None

    def drawn(
        self,
        models: Mapping[str, tuple[Path, float]],
        opening: "Callable[[Path], AbstractContextManager[OpenRun]]",
        progress: "Progress",
    ) -> "SideBySide":
        """The base model's columns, which are drawn once, and one for each model with its strength."""
        shown: SideBySide | None = None
        for name, (model, strength) in models.items():  # one after another, as memory may hold only one
            with opening(model) as opened:
                shown = self._with(shown, name, opened, strength, progress)
        assert shown is not None
        return shown

    def _with(
        self,
        shown: "SideBySide | None",
        name: str,
        opened: "OpenRun",
        strength: float,
        progress: "Progress",
    ) -> "SideBySide":
        from spf.sampling import tuned_images

        shown = shown or self._base(opened, progress)
        if opened.backbone.fingerprint() != shown.base:
            raise RunError(f"'{opened.path}' has another base model than those before it; leave it out")
        texts, seeds = shown.pairs()
        options = _like(opened.config.sample, shown.options)
        images = tuned_images(opened, texts, seeds, strength, options, progress=progress, stage=name)
        made = f"weights `{opened.adapter_hash}`, handover {options.handover:g}"
        return replace(shown, columns={**shown.columns, name: images}, about=[*shown.about, (name, made)])

    def _base(self, opened: "OpenRun", progress: "Progress") -> "SideBySide":
        from spf.sampling import original_rows, sample_options
        from spf_lab.showing.side_by_side import BASE, PROMPTED, SideBySide, texts_of

        texts = self.texts or texts_of(opened.path, opened.config, self.target)
        options = sample_options(opened, steps=self.steps, guidance=self.guidance)
        shown = SideBySide(texts, self.seeds, opened.backbone.fingerprint(), options)
        alone = options.model_copy(update={"handover": 1.0, "negative": "empty"})
        drawn = original_rows(opened, *shown.pairs(), alone, progress=progress)
        return replace(shown, columns=dict(zip((BASE, PROMPTED), drawn.values(), strict=False)))


def _opening(
    models: Sequence[Path], backbone: str | None, device: str, plugin: Sequence[Path]
) -> "Callable[[Path], AbstractContextManager[OpenRun]]":
    """How each model is opened: a run as it is, a file on the base model; RunError for different bases."""
    from spf.loading import load_plugins
    from spf.runs import open_run
    from spf_core.sampling.composition import refuse_other_bases
    from spf_lab.scoring.opening import Base, backbone_of, base_config
    from spf_lab.scoring.sources import examine

    sources = {model: examine(model) for model in models}
    runs = [model for model, source in sources.items() if source.kind == "run"]
    refuse_other_bases(runs)
    plugins = load_plugins(plugin)
    base = None
    if len(runs) < len(sources):
        base = Base(
            base_config(plugins, backbone_of([*sources.values()], backbone, plugins)), plugins, device
        )

    def opened(model: Path) -> "AbstractContextManager[OpenRun]":
        if base is None or model in runs:
            return nullcontext(open_run(model, plugin=plugin, device=device).model)
        return base.opened(sources[model])

    return opened


def _like(own: "SampleSection", shared: "SampleSection") -> "SampleSection":
    """A run's sampling options, with what must be the same in all columns."""
    same = ("steps", "guidance", "batch_size", "precision")
    return own.model_copy(update={name: getattr(shared, name) for name in same})


def _write(out: Path, shown: "SideBySide") -> None:
    from spf_core.sampling.sampler import save_png
    from spf_core.utils.atomic import atomic_write_text
    from spf_lab.showing.side_by_side import grid, page

    if out.suffix.lower() == ".html":
        atomic_write_text(out, page(shown))
        return
    facts = {name: value.replace("`", "") for name, value in shown.facts()}
    save_png(grid(shown), out, facts)


def _strengths(text: str, models: Sequence[Path]) -> list[float]:
    from spf_cli.sample import strengths

    given = strengths(text, len(models))
    if len(given) != len(models):
        raise ConfigError(
            f"--strength {text}: {len(given)} strengths for {len(models)} runs; give one for each"
        )
    return given
