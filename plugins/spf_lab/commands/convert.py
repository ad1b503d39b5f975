"""`spf convert-weights`: upstream's files into what a score reads."""

from pathlib import Path
from typing import Annotated

import typer

from spf_cli.options import OUTPUT, PluginFiles
from spf_lab.commands.evaluate import ScoreOptions


def convert_weights(
    score: Annotated[str, typer.Argument(metavar="SCORE", help="Score that is to read the weights.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Upstream's files, in order.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the weights.", rich_help_panel=OUTPUT)
    ],
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model folder whose configuration and tokenizer are used."),
    ] = None,
    assignments: ScoreOptions = None,
    plugin: PluginFiles = None,
) -> None:
    """Turn published weights into safetensors, without running what is in the files.

    [bold]spf plugins show SCORE[/] tells which files, which base and where the result is looked for.
    """
    from spf_cli.loading import load, refuse_filled
    from spf_cli.render import say
    from spf_lab.evaluation.chosen import choose_scores

    refuse_filled(out, "choose another --out")
    (config,) = choose_scores(load(plugin or ()), [score], assignments or ()).values()
    config.convert(sources, out, base)
    say(f"wrote {out}")
