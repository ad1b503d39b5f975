"""`spf config`: the resolved configuration and its schema."""

import json

import typer

from spf_cli.options import Assignments, Backbone, ConfigFile, Plugin, PluginFiles, Preset, show_help

app = typer.Typer(help="Show the resolved configuration of a run, and its JSON schema.")
app.callback(invoke_without_command=True)(show_help)


@app.command("show")
def show_config(
    preset: Preset = None,
    backbone: Backbone = None,
    plugin: Plugin = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
) -> None:
    """Print the configuration that [bold]spf train[/] uses with the same options, as YAML.

    Settings come from these sources: defaults, preset, backbone, --config, --backbone and --plugin, --set.
    Later ones override earlier ones.
    """
    from spf_cli.loading import load_config

    resolved, _ = load_config(
        preset=preset, file=config, backbone=backbone, chosen=plugin or (), assignments=assignments or ()
    )
    typer.echo(resolved.dump().rstrip())


@app.command("schema")
def show_schema(plugin: PluginFiles = None) -> None:
    """Print the JSON schema of a configuration, with the options of every installed component."""
    from spf_cli.loading import load
    from spf_cli.schema import run_schema

    typer.echo(json.dumps(run_schema(load(plugin or ())), indent=2))
