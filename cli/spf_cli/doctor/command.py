"""`spf doctor`: whether this machine is ready, and how to fix what is not."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from spf_cli.options import Assignments, Backbone, PluginFiles, backbone_options
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

    findings = list(examine(load_plugins(plugin or ()), backbone_options(backbone, assignments or ()), out))
    rows = [(each.subject, Text(*_MARKS[each.state]), each.found, each.way_out) for each in findings]
    show(table("", ("", "", "found", "way out"), rows))
    broken = sum(each.state == "broken" for each in findings)
    if broken:
        say()
        say(f"{broken} broken: follow the last column, then run spf doctor again")
        raise typer.Exit(BROKEN)
    say()
    say("ready")
