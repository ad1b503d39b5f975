"""`spf train --dry-run`: what would be trained, as settings and tables."""

from typing import TYPE_CHECKING

import typer

from spf_core.utils.distributed import is_main

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig


def show_plan(config: "RunConfig") -> None:
    """Print the settings that are not defaults, what they come to, and when each term counts."""
    from spf_cli.render import say, show, table
    from spf_core.training.resources.dry_run import plan_of

    if not is_main():
        return
    plan = plan_of(config)
    typer.echo(config.dump(defaults=False))
    show(
        table("plan", ("", ""), plan.training),
        "",
        table("terms", ("", "weight", "steps", "reads"), plan.terms),
        "",
        table("sizes", ("", ""), plan.sizes),
        "",
        table("time, from passes made here", ("", ""), plan.time),
        "",
    )
    say("Nothing is written. All settings: spf config show, with the same options")
