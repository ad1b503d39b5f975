"""`spf calibrate`: which strength of a run draws its target without more."""

from pathlib import Path
from typing import Annotated

import typer

from spf_cli.options import Device, DeviceName, RunFolder, numbers


def calibrate(
    run: RunFolder,
    strengths: Annotated[
        str, typer.Option(metavar="S,S,...", help="Strengths of the adapter to try.")
    ] = "0.25,0.5,0.75,1,1.25,1.5",
    prompts: Annotated[int, typer.Option(min=1, help="How many of the training texts to draw.")] = 16,
    keep: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the highest response that must stay.")
    ] = 0.95,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder with texts.", show_default="what the run was trained on"),
    ] = None,
    device: Device = DeviceName.AUTO,
) -> None:
    """Draw training texts at several strengths, and recommend the lowest that keeps the target.

    Response is how much of the target CLIP sees, drift how far pictures without it move: 1 is as far as
    another seed. The recommendation is stored with the run's weights and goes into exported files.
    """
    from spf_cli.bars import progress_bars
    from spf_cli.render import show, table
    from spf_cli.sample import open_folder
    from spf_core.errors import ConfigError
    from spf_core.strength import calibrate_strength, store
    from spf_core.trainer import rows_of

    tried = numbers("--strengths", strengths)
    if not tried or min(tried) <= 0:
        raise ConfigError(f"--strengths {strengths}: give numbers above 0 between commas, as in 0.5,1")
    opened = open_folder(run, device)
    texts = rows_of(opened.config.model_copy(update={"data": str(data)}) if data else opened.config)
    with progress_bars() as progress:
        found = calibrate_strength(
            opened, [row.prompt for row in texts], tried, keep=keep, count=prompts, progress=progress
        )
    store(opened, found)
    lines = [
        (
            f"{each.strength:g}{' *' if each.strength == found.recommended else ''}",
            f"{each.response:.0%}",
            f"{each.drift:.2f}",
        )
        for each in found.settings
    ]
    show(
        table(f"{min(prompts, len(texts))} texts", ("strength", "response", "drift of the base text"), lines),
        f"recommended: {found.recommended:g}, stored in {run}",
    )
