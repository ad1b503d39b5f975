"""A command for spf. `spf --help` imports this module, so it is free of torch."""

from pathlib import Path
from typing import Annotated

import typer
from spf_core.plugins import hookimpl


@hookimpl
def spf_register_commands(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new-thing")(show_last_step)


def show_last_step(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of spf train.")],
) -> None:
    """Show the last step of a run and its loss."""
    import json  # heavy imports belong here, too

    from spf_core.errors import RunError

    log = run / "metrics.jsonl"
    if not log.is_file():
        raise RunError(f"'{run}' is no run folder: it has no metrics.jsonl; give a folder of spf train")
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    typer.echo(f"step {last['step']}: loss {last['loss']:.4g}")
