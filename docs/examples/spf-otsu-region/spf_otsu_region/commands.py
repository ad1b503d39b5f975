"""The command `spf otsu-region`. `spf --help` imports this module, so it is free of torch."""

from pathlib import Path
from typing import Annotated

import typer
from spf_core.plugins import hookimpl


@hookimpl
def spf_register_commands(app: typer.Typer) -> None:
    """Add the command."""
    app.command("otsu-region", rich_help_panel="Train, sample, measure")(show_region)


def show_region(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of spf train.")],
    prompt: Annotated[str, typer.Option(help="Base text.")],
    target: Annotated[str, typer.Option(help="Target text, which is added to the prompt.")],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="Image file to write.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of images, with the seeds 0, 1 and so on.")] = 4,
    level: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Noise level at which the attention is read.")
    ] = 0.5,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.py", help="Plugin file that the run needs. Repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="Device, such as cpu or cuda.")] = "auto",
) -> None:
    """Show which share of what a run changes lies outside the region of its target."""
    from spf_core.plugins.discovery import load_plugins
    from spf_core.runs.run import open_run
    from spf_core.sampling.sampler import save_png

    from spf_otsu_region.figure import look

    seen = look(open_run(run, load_plugins(plugin or ()), device=device), prompt, target, seeds, level)
    save_png(seen.picture, out, {"prompt": prompt, "target": target})
    typer.echo("seed  region  change outside")
    for seed, (size, outside) in enumerate(zip(seen.sizes, seen.outside, strict=True)):
        typer.echo(f"{seed:>4}  {size:>6.0%}  {outside:>14.0%}")
    typer.echo(f"wrote {out}")
