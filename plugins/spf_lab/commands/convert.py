"""`spf convert-weights`: published weights, converted for a score."""

from pathlib import Path
from typing import Annotated

import typer

from spf_cli.options import OUTPUT, PluginFiles
from spf_lab.commands.evaluate import ScoreOptions


def convert_weights(
    score: Annotated[str, typer.Argument(metavar="SCORE", help="Score to convert the weights for.")],
    sources: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The published files, in order.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="New folder for the weights.", rich_help_panel=OUTPUT)
    ],
    base: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Model folder whose configuration and tokenizer the command uses."),
    ] = None,
    assignments: ScoreOptions = None,
    plugin: PluginFiles = None,
) -> None:
    """Convert published weights to safetensors, without running code from the files.

    [bold]spf plugins show SCORE[/] lists the files, the base model, and the folder that the score reads.
    """
    from spf.loading import load_plugins, refuse_filled
    from spf_cli.render import say
    from spf_lab.evaluation.score_options import choose_scores

    refuse_filled(out, "choose another --out")
    (config,) = choose_scores(load_plugins(plugin or ()), [score], assignments or ()).values()
    config.convert(sources, out, base)
    say(f"wrote {out}")
