"""`spf train --dry-run`: settings, terms and estimates of a training."""

from typing import TYPE_CHECKING

import typer

from spf_core.utils.distributed import is_main

if TYPE_CHECKING:
    from spf_core.config.run_config import RunConfig


def show_plan(config: "RunConfig", show_all: str) -> None:
    """Print the settings that are not defaults, the plan, and the steps of each term.

    `show_all` is the command that shows all settings.
    """
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
        table(
            "time, estimated from passes on this machine; a backward pass counts as two forward passes",
            ("", "", "forward passes", "time"),
            plan.time,
        ),
        "",
    )
    say("Nothing was written. To train, leave out --dry-run.")
    say(f"To see all settings: {show_all}")
