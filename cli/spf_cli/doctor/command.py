"""`spf doctor`: whether this machine is ready, and how to fix what is not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from spf_cli.options import Assignments, Backbone, PluginFiles
from spf_core.errors import ConfigError, quoted, short
from spf_core.plugins.discovery import load_plugins

BROKEN = 1
_MARKS = {"fine": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "bold red")}


def doctor(
    backbone: Backbone = None,
    assignments: Assignments = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also check this output folder.")] = None,
    plugin: PluginFiles = None,
) -> None:
    """Check versions, device, precision, disk, plugins and the base model.

    The command downloads nothing. For a model on a hub, it checks only whether the hub can be reached. Exit
    code 1 if something is broken.
    """
    from spf_cli.doctor.examine import examine
    from spf_cli.render import say, show, table

    findings = list(examine(load_plugins(plugin or ()), _options(backbone, assignments or ()), out))
    rows = [(each.subject, Text(*_MARKS[each.state]), each.found, each.way_out) for each in findings]
    show(table("", ("", "", "found", "way out"), rows))
    broken = sum(each.state == "broken" for each in findings)
    if broken:
        say()
        say(f"{broken} broken: follow the last column, then run spf doctor again")
        raise typer.Exit(BROKEN)
    say()
    say("ready")


def _options(backbone: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    """Name and options of the backbone to look for."""
    from spf_core.config.merging import merge, parse_assignment

    raw: dict[str, Any] = {"backbone": backbone or "mini"}
    for assignment in assignments:
        given = parse_assignment(assignment)
        if given.keys() != {"backbone"}:
            raise ConfigError(f"--set {short(assignment)}: spf doctor reads only settings of the backbone")
        raw = merge(raw, given)
    chosen = raw["backbone"]
    if not isinstance(chosen, str | dict):
        raise ConfigError(f"backbone: expected the name of a backbone, got {quoted(chosen)}")
    return {"name": chosen} if isinstance(chosen, str) else chosen
