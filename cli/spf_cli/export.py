"""`spf export` and `spf push`: the weights of a run, for other programs and other people."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spf_cli.options import OUTPUT, OptionalRun, PluginFiles, RunFolder
from spf_core.errors import ConfigError, RunError

LOSS = 1
WHOLE = "Whole models"


class Precision(StrEnum):
    """Number format of the written weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


CardEvaluation = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Results of [bold]spf evaluate[/], for the model card."),
]
BaseLicence = Annotated[
    str | None,
    typer.Option(
        "--base-license",
        metavar="ID",
        help="Licence of the base model, as in [cyan]creativeml-openrail-m[/].",
        show_default="see the base model",
    ),
]


Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="[bold]kohya[/]: a LoRA file that every client opens. [bold]diffusers[/]: a folder with a "
        "model card. [bold]checkpoint[/]: the whole model in one file. Plugins may add others.",
        rich_help_panel=OUTPUT,
    ),
]
Merge = Annotated[
    bool, typer.Option("--merge", help="Merge the LoRA into the model's weights.", rich_help_panel=WHOLE)
]
Strength = Annotated[
    float | None,
    typer.Option(
        min=0, help="Strength of the adapter in the merged weights.", show_default="1", rich_help_panel=WHOLE
    ),
]
Check = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write nothing. Show what each client reads of this LoRA file, or which prediction "
        "type it assumes for this checkpoint. Exit code 1 if a client is wrong.",
    ),
]


def export(
    run: OptionalRun = None,
    form: Form = "kohya",
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File or new folder to write.", rich_help_panel=OUTPUT),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Number format of the written weights.", rich_help_panel=OUTPUT)
    ] = Precision.FP32,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.", rich_help_panel=OUTPUT)
    ] = False,
    merge: Merge = False,
    strength: Strength = None,
    evaluation: CardEvaluation = None,
    base_license: BaseLicence = None,
    check: Check = None,
    plugin: PluginFiles = None,
) -> None:
    """Write the weights of a run for other programs, or [bold]--check[/] a file.

    A finished LoRA run already contains RUN/NAME.safetensors, with kohya's keys.

    With --check, also give RUN if the base model is neither Stable Diffusion 1.5 nor SDXL.
    """
    if check is not None:
        _check(run, check, plugin or ())
        return
    from spf.exporting import export as write
    from spf.runs import open_run
    from spf_cli.render import as_table, note, say, show

    if run is None or out is None:
        raise ConfigError("give a run and --out PATH, or --check FILE; `spf export --help` shows how")
    written = write(
        open_run(run, plugin=plugin or ()),
        out,
        format=form,
        precision=precision.value,
        merge=merge,
        strength=strength,
        evaluation=evaluation,
        base_license=base_license,
        overwrite=overwrite,
    )
    say(f"wrote {out}")
    if written.note:
        say(written.note)
    if written.predicts:
        show(written.predicts)
    if written.table:
        show(as_table(written.table))
    for fault in written.faults:
        note("note", "yellow", fault)


def push(
    run: RunFolder,
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="Repository on the hub, as in [cyan]me/hat[/].")
    ],
    public: Annotated[bool, typer.Option("--public", help="Make a new repository public.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Upload without confirmation.")] = False,
    evaluation: CardEvaluation = None,
    base_license: BaseLicence = None,
    plugin: PluginFiles = None,
) -> None:
    """Upload a run to the Hugging Face hub, with a model card.

    The command asks for confirmation first. Log in with [bold]hf auth login[/], or set HF_TOKEN.
    """
    from spf.loading import run_config
    from spf_cli.render import say
    from spf_core.export.push import push as upload
    from spf_core.export.push import refuse_offline

    refuse_offline(repository)
    _, plugins = run_config(run, plugin or ())
    if not yes:
        _ask(run, repository, public)
    url = upload(run, repository, plugins, private=not public, evaluation=evaluation, licence=base_license)
    say(f"uploaded {run}: {url}")


def _ask(run: Path, repository: str, public: bool) -> None:
    """Return when the user confirms at a terminal; RunError otherwise."""
    seen = "everybody will see it" if public else "private"
    question = f"Upload {run} to {repository} ({seen}, if it is new)?"
    if not (sys.stdin.isatty() and typer.confirm(question)):
        raise RunError("nothing was uploaded, as nobody confirmed; add --yes to upload without confirmation")


def _check(run: Path | None, file: Path, plugin: Sequence[Path]) -> None:
    from spf.exporting import readings_of
    from spf.loading import run_config
    from spf_cli.render import as_table, note, show
    from spf_core.export.architecture import architecture_of
    from spf_core.export.prediction import is_checkpoint
    from spf_core.runs.run import open_backbone, unrounded

    base = None
    if run is not None and not is_checkpoint(file):
        config, _ = run_config(run, plugin)
        base = architecture_of(open_backbone(unrounded(config.backbone), "cpu"))
    found = readings_of(file, base)
    show(*([found.predicts] if found.predicts else []), as_table(found.table))
    for fault in found.faults:
        note("fault", "red", fault)
    if found.faults:
        raise typer.Exit(LOSS)
