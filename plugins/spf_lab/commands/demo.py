"""`spf demo`: train one attribute, with images and scores. Finished parts are reused."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.options import MANY, OUTPUT, Assignments, Device, DeviceName
from spf_core.errors import RunError
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.json_text import NotJsonError, read_json

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_core.runs.run import OpenRun
    from spf_core.utils.progress import Progress

SUITE, BACKBONE = "portraits", "mini"
PRESETS = {"naive": (), "spf": ("train.text_variants=2",)}  # two wordings: half the pictures to redraw
BIAS = {"background": "teal", "clothes": "blazer", "expression": "laughing"}
ROWS, PAIRS, SIZE = 60, 6, 64
RESULTS_FILE, PAIRS_FILE = "results.json", "pairs.png"


@dataclass(frozen=True)
class Settings:
    """The settings of a demo folder."""

    target: str
    steps: int
    prompts: int
    assignments: tuple[str, ...]


def demo(
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for all runs, results and images.", rich_help_panel=OUTPUT),
    ] = Path("demo"),
    target: Annotated[str, typer.Option(help="The target to train.")] = "sunglasses",
    steps: Annotated[int, typer.Option(min=1, max=MANY, help="Number of optimizer steps of each run.")] = 250,
    prompts: Annotated[int, typer.Option(min=1, max=MANY, help="Number of prompts of the evaluation.")] = 25,
    device: Device = DeviceName.AUTO,
    assignments: Assignments = None,
) -> None:
    """Train one attribute on the small model, and measure what else changes.

    The demo renders 60 biased portraits. It trains the presets [bold]spf[/] and [bold]naive[/], generates
    images from the same seeds, evaluates both runs and writes a report.

    To continue an interrupted demo, run the command again.
    """
    from spf.bars import progress_bars
    from spf.loading import load_plugins
    from spf.measuring import Evaluation, results_table
    from spf_cli.render import as_table, show
    from spf_lab.commands.report import write_page

    settings = Settings(target, steps, prompts, tuple(assignments or ()))
    plugins = load_plugins()
    _write_data(out, settings, plugins)
    with progress_bars() as progress:
        for preset in PRESETS:
            _train(out, preset, settings, device, plugins, progress)
        opened = {preset: _open(out, preset, device, plugins) for preset in PRESETS}
        _draw_pairs(out, settings, opened, plugins, progress)
        for preset in PRESETS:
            _evaluate(out, preset, settings, opened[preset], plugins, progress)
    results = {preset: Evaluation(out / "evaluation" / preset) for preset in PRESETS}
    show(
        as_table(results_table(results)),
        "",
        f"report:   {write_page(out, device=device)}",
        f"images:   {out / PAIRS_FILE}",
        f"runs:     {out / 'runs'}",
    )


def _write_data(out: Path, settings: Settings, plugins: "Plugins") -> None:
    """Render the tailored set, once; a folder made with other settings is refused."""
    from spf.loading import build, refuse_filled

    record = out / "demo.json"
    wanted = json.loads(json.dumps(asdict(settings)))
    if not record.is_file():
        refuse_filled(out, "choose another --out")
    elif _recorded(record) != wanted:
        raise RunError(f"'{out}' was made with other options ({record}); choose another --out")
    if not (out / "data").exists():
        suite = build(plugins, SUITE, "suite")
        suite.write_training_set(
            out / "data", target=settings.target, count=ROWS, bias=BIAS, seed=0, size=SIZE
        )
        atomic_write_text(record, json.dumps(wanted, indent=2))


def _recorded(record: Path) -> Any:

    try:
        return read_json(record)
    except NotJsonError as error:
        raise RunError(f"'{record}' is damaged ({error}); choose another --out") from None


def _train(
    out: Path, preset: str, settings: Settings, device: str, plugins: "Plugins", progress: "Progress"
) -> None:
    from spf.bars import prefixed
    from spf_core.config.loading import load_run_config
    from spf_core.runs.checkpoint import ADAPTER_FILE
    from spf_core.training.loop import train

    run = out / "runs" / preset
    if (run / ADAPTER_FILE).is_file():
        return
    overrides = {"data": str(out / "data"), "train": {"device": device, "steps": settings.steps}}
    assignments = (*PRESETS[preset], *settings.assignments)
    config = load_run_config(
        plugins, preset=preset, backbone=BACKBONE, overrides=overrides, assignments=assignments
    )
    resume = (run / "config.yaml").is_file()
    train(config, run, plugins, resume=resume, progress=prefixed(progress, preset))


def _open(out: Path, preset: str, device: str, plugins: "Plugins") -> "OpenRun":
    from spf_core.runs.run import open_run

    return open_run(out / "runs" / preset, plugins, device=device)


def _draw_pairs(
    out: Path, settings: Settings, opened: "dict[str, OpenRun]", plugins: "Plugins", progress: "Progress"
) -> None:
    """Rows original, naive and spf from the same noise."""
    from spf.loading import build
    from spf_core.sampling.sampler import BeforeHandover, comparison_grid, sample_images, save_png

    if (out / PAIRS_FILE).is_file():
        return
    unseen = build(plugins, SUITE, "suite").prompts(settings.target, PAIRS, seed=1, split="dev")
    prompts = [item.prompt for item in unseen]
    seeds, first = range(PAIRS), opened[next(iter(PRESETS))]
    base, complete = [prompt.base_text for prompt in prompts], [prompt.complete_text for prompt in prompts]
    with first.adapter.disabled():
        rows = {
            "original": sample_images(first.backbone, base, seeds, first.config.sample, progress=progress)
        }
    for preset, run in opened.items():
        rows[preset] = sample_images(
            run.backbone,
            complete,
            seeds,
            run.config.sample,
            before_handover=BeforeHandover(base, run.adapter),
            progress=progress,
            stage=f"{preset}: sampling",
        )
    facts = {
        "prompt": "\n".join(base),
        "target": prompts[0].target_text or "",
        "seeds": " ".join(map(str, seeds)),
    }
    save_png(comparison_grid(rows, base), out / PAIRS_FILE, {**facts, "strength": "1", "run": "runs"})


def _evaluate(
    out: Path, preset: str, settings: Settings, opened: "OpenRun", plugins: "Plugins", progress: "Progress"
) -> None:
    from spf.bars import prefixed
    from spf_lab.evaluation.drawing import EvaluationPlan
    from spf_lab.evaluation.run import evaluate

    folder = out / "evaluation" / preset
    if not (folder / RESULTS_FILE).is_file():
        evaluate(
            opened,
            plugins,
            EvaluationPlan(suite=SUITE, prompts=settings.prompts, seeds=1),
            out=folder,
            progress=prefixed(progress, preset),
        )
