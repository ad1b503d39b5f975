"""`spf attention`: the attention to a word of the prompt, timestep by timestep."""

from pathlib import Path
from typing import Annotated

import typer

from spf_cli.options import (
    LAST_SEED,
    MANY,
    OUTPUT,
    Device,
    DeviceName,
    Handover,
    PluginFiles,
    RunFolder,
    readable,
)
from spf_core.utils.prompts import Prompt


def attention(
    run: RunFolder,
    prompt: Annotated[str, typer.Option(callback=readable, help="Base text.")],
    token: Annotated[
        str,
        typer.Option(callback=readable, metavar="WORD", help="Word or phrase of the prompt or the target."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE.png", help="Image file to write.", rich_help_panel=OUTPUT)
    ],
    target: Annotated[
        str, typer.Option(callback=readable, help="Target text, which is added to the prompt.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the initial noise.")] = 0,
    columns: Annotated[int, typer.Option(min=1, max=MANY, help="Number of timesteps to show.")] = 8,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MANY, help="Number of sampler steps.", show_default="of the run")
    ] = None,
    handover: Handover = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Show the attention to a word during sampling, for the base model and the tuned model.

    Each column is a timestep, from noise to image. All attention maps share a scale. The last row shows the
    control map.
    """
    from spf.loading import refuse_existing
    from spf.runs import open_run
    from spf.sampling import checked_text, sample_options
    from spf_cli.render import say
    from spf_lab.attention.figure import attention_figure
    from spf_lab.attention.maps import attention_maps
    from spf_lab.attention.words import find_token
    from spf_lab.evaluation.plots import save_figure

    text = Prompt(checked_text(prompt), target.strip() or None)
    find_token(text, token)
    refuse_existing(out, overwrite)
    opened = open_run(run, plugin=plugin or (), device=device).model
    options = sample_options(opened, steps=steps, handover=handover)
    maps = attention_maps(opened, text, token, options, seed=seed, columns=columns)
    save_figure(out, attention_figure(maps))
    say(f"wrote {out}")
