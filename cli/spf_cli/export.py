"""`spf export` and `spf push`: the weights of a run, for other programs and other people."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import OUTPUT, OptionalRun, PluginFiles, RunFolder
from spf_core.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.table import Table

    from spf_core.export.check import Verdict
    from spf_core.export.prediction import Reading

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
    from spf_cli.loading import refuse_filled, run_config
    from spf_cli.render import say, show
    from spf_cli.sample import refuse_existing
    from spf_core.export.architecture import architecture_of
    from spf_core.export.check import check_file
    from spf_core.export.companions import companion_paths
    from spf_core.export.prediction import is_checkpoint
    from spf_core.export.run import Request
    from spf_core.export.run import export as write

    if run is None or out is None:
        raise ConfigError("give a run and --out PATH, or --check FILE; `spf export --help` shows how")
    _, plugins = run_config(run, plugin or ())
    if getattr(plugins.get(form, "exporter"), "folder", False):
        refuse_filled(out, "choose another --out")
    else:
        for file in (out, *(companion_paths(out) if form == "kohya" else ())):
            refuse_existing(file, overwrite)
    request = Request(form, out, merge, strength, precision.value, evaluation, base_license)
    finished = write(run, plugins, request)
    say(f"wrote {out}")
    if finished.facts.handover < 1:
        told = finished.facts.handover_told
        say(f"the tuned model is made to act {told}; the card of --format diffusers shows how")
    if out.is_file() and is_checkpoint(out):
        _show_readings(out, "note", "yellow")
    elif out.is_file():
        show(verdict_table(out, check_file(out, architecture_of(finished.opened.backbone))))


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
    from spf_cli.loading import run_config
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
    from spf_cli.loading import run_config
    from spf_cli.render import note, show
    from spf_core.export.architecture import architecture_of
    from spf_core.export.check import check_file
    from spf_core.export.prediction import is_checkpoint
    from spf_core.runs.run import open_backbone, unrounded

    if is_checkpoint(file):
        if _show_readings(file, "fault", "red"):
            raise typer.Exit(LOSS)
        return
    base = None
    if run is not None:
        config, _ = run_config(run, plugin)
        base = architecture_of(open_backbone(unrounded(config.backbone), "cpu"))
    verdicts = check_file(file, base)
    show(verdict_table(file, verdicts))
    for verdict in verdicts:
        for what, names in (("loses", verdict.lost), ("scales wrongly", verdict.wrong)):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                note("fault", "red", f"{verdict.client} {what} '{names[0]}'{more}")
    if any(verdict.faulty for verdict in verdicts):
        raise typer.Exit(LOSS)


def verdict_table(file: Path, verdicts: "Sequence[Verdict]") -> "Table":
    """Clients, and how many layers each reads correctly, loses, or scales wrongly."""
    from spf_cli.render import table

    rows = [
        (
            each.client,
            *("-" * 3 if each.absent else (each.matched, len(each.lost), len(each.wrong))),
            each.absent,
        )
        for each in verdicts
    ]
    return table(
        f"layers of {file} that clients read", ("client", "matched", "lost", "wrong scale", ""), rows
    )


def _show_readings(file: Path, label: str, colour: str) -> bool:
    """Show the prediction type that each client assumes; return whether any is wrong."""
    from spf_cli.render import note, show
    from spf_core.export.prediction import check_checkpoint

    meant, readings = check_checkpoint(file)
    show(f"{file} predicts {meant}", reading_table(readings))
    for each in readings:
        if each.way_out:
            note(label, colour, f"{each.client} assumes {each.found};  {each.way_out}")
    return any(each.way_out for each in readings)


def reading_table(readings: "Sequence[Reading]") -> "Table":
    """Clients and the prediction type that each assumes without further settings."""
    from spf_cli.render import table

    rows = [(each.client, "-" if each.absent else f"{each.found}", each.absent) for each in readings]
    return table("prediction type that each client assumes", ("client", "prediction", ""), rows)
