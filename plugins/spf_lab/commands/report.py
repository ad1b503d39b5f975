"""`spf report`: a run, a benchmark, a demo or scored files as one HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spf_cli.options import OUTPUT, Device, DeviceName, PluginFiles, readable
from spf_core.errors import ConfigError, RunError
from spf_core.utils.atomic import atomic_write_text

if TYPE_CHECKING:
    from spf_lab.report.attention_maps import Subject


def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="RUN|BENCH", help="Folder of a run, a benchmark, a demo or scored files."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="HTML file to write.",
            show_default="report.html in the folder",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Results of [bold]spf evaluate[/] for the run.",
            show_default="RUN/evaluation",
        ),
    ] = None,
    prompt: Annotated[
        str,
        typer.Option(
            callback=readable, help="Base text of the attention maps.", show_default="the evaluation's first"
        ),
    ] = "",
    target: Annotated[
        str, typer.Option(callback=readable, help="Target text, which is added to the prompt.")
    ] = "",
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE.html if it exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Write a report as one HTML page, which needs no other files.

    The page shows images, change maps, attention, curves, tables and settings. Only the attention maps need
    the model's weights. Without these, the page says so in place of the maps.
    """
    from spf.loading import refuse_existing
    from spf_cli.render import say

    if out is not None:
        refuse_existing(out, overwrite)
    subject = _subject(prompt, target)
    written = write_page(
        folder, out, evaluation=evaluation, subject=subject, plugin=plugin or (), device=device
    )
    say(f"wrote {written}")


def write_page(
    folder: Path,
    out: Path | None = None,
    *,
    evaluation: Path | None = None,
    subject: "Subject | None" = None,
    plugin: Sequence[Path] = (),
    device: str,
) -> Path:
    """Write the folder's page and say where it is; RunError when the folder is of no kind that has one."""
    from spf_lab.report.write import PAGE

    page, file = _page(folder, evaluation, subject, plugin, device), out or folder / PAGE
    atomic_write_text(file, page)
    return file


def _page(
    folder: Path, evaluation: Path | None, subject: "Subject | None", plugin: Sequence[Path], device: str
) -> str:
    from spf.loading import load_plugins, permitted
    from spf_core.runs.run import CONFIG_FILE
    from spf_lab.benchmark.folder import RECORD
    from spf_lab.report import write
    from spf_lab.scoring.record import RECORD as SCORE_RECORD

    if (folder / CONFIG_FILE).is_file():
        plugins = load_plugins([*plugin, *permitted(folder / CONFIG_FILE, plugin, needed=False)])
        return write.run_report(folder, plugins, evaluation=evaluation, subject=subject, device=device)
    if evaluation or subject:
        raise RunError(f"--evaluation, --prompt and --target belong to a run; '{folder}' is none")
    if (folder / RECORD).is_file():
        plugins = load_plugins([*plugin, *permitted(folder / RECORD, plugin, needed=False)])
        return write.benchmark_report(folder, plugins, device=device)
    if (folder / write.DEMO_RECORD).is_file():
        return write.demo_report(folder, load_plugins(plugin), device=device)
    if (folder / SCORE_RECORD).is_file():
        return write.score_report(folder)
    records = f"{CONFIG_FILE} (a run), {RECORD} (a benchmark), {write.DEMO_RECORD} (a demo)"
    raise RunError(
        f"'{folder}' has no {records} or {SCORE_RECORD} (scored files); give a folder that spf train, "
        "benchmark, demo or score wrote"
    )


def _subject(prompt: str, target: str) -> "Subject | None":
    from spf_lab.report.attention_maps import subject_of

    if not prompt.strip() and not target.strip():
        return None
    if not (prompt.strip() and target.strip()):
        raise ConfigError("--prompt and --target go together; give both")
    return subject_of(prompt.strip(), target.strip())
