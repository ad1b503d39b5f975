"""`spf plugins`: the installed components, and the kit for authors of new ones."""

import typer

from spf_cli.options import at_home, show_help
from spf_cli.plugins.check import check_plugin
from spf_cli.plugins.listing import list_plugins, show_plugin
from spf_cli.plugins.new import new_plugin

app = typer.Typer(help="List, show, write and check components.")
app.callback(invoke_without_command=True)(show_help)
app.command("list")(list_plugins)
app.command("show")(show_plugin)
app.command("new")(at_home(new_plugin))
app.command("check")(check_plugin)
