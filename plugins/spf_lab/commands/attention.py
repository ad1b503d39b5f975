"""`spf attention`: where a word of the prompt is looked at, step by step."""

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


def attention(
    run: RunFolder,
    prompt: Annotated[str, typer.Option(callback=readable, help="Base text.")],
    token: Annotated[
        str,
        typer.Option(callback=readable, metavar="WORD", help="Word or phrase of the prompt or the target."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="Picture to write.", rich_help_panel=OUTPUT)],
    target: Annotated[str, typer.Option(callback=readable, help="Target text, added to the prompt.")] = "",
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the initial noise.")] = 0,
    columns: Annotated[int, typer.Option(min=1, max=MANY, help="Timesteps to show.")] = 8,
    steps: Annotated[
        int | None, typer.Option(min=1, max=MANY, help="Sampler steps.", show_default="of the run")
    ] = None,
    handover: Handover = None,
    plugin: PluginFiles = None,
    device: Device = DeviceName.AUTO,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the picture if it exists.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Draw the attention to a word while the original and the tuned model sample, and the control map.

    One column a timestep, from noise to picture; all attention maps share a scale.
    """
    from spf_cli.render import say
    from spf_cli.sample import base_text, open_folder, refuse_existing, sample_options
    from spf_core.utils.prompts import Prompt
    from spf_lab.attention.figure import attention_figure
    from spf_lab.attention.maps import attention_maps
    from spf_lab.attention.words import find_token
    from spf_lab.evaluation.plots import save_figure

    text = Prompt(base_text(prompt), target.strip() or None)
    find_token(text, token)
    refuse_existing(out, overwrite)
    opened = open_folder(run, device, plugin or ())
    options = sample_options(opened, steps=steps, handover=handover)
    maps = attention_maps(opened, text, token, options, seed=seed, columns=columns)
    save_figure(out, attention_figure(maps))
    say(f"wrote {out}")
