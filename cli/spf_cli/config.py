"""`spf config`: the resolved configuration and its schema."""

import json

import typer

from spf_cli.options import (
    Assignments,
    Backbone,
    ConfigFile,
    Plugin,
    PluginFiles,
    Preset,
    Trigger,
    show_help,
)
from spf_cli.training_options import (
    CardProfile,
    EvaluateEvery,
    Quick,
    Resume,
    RunToWrite,
    StartFrom,
    TrainingData,
    TrainingSeed,
    TrainingSteps,
    planned_run,
)

app = typer.Typer(help="Show the resolved configuration of a run, and its JSON schema.")
app.callback(invoke_without_command=True)(show_help)


@app.command("show")
def show_config(
    out: RunToWrite = None,
    data: TrainingData = None,
    trigger: Trigger = None,
    steps: TrainingSteps = None,
    seed: TrainingSeed = None,
    start_from: StartFrom = None,
    evaluate_every: EvaluateEvery = None,
    preset: Preset = None,
    backbone: Backbone = None,
    plugin: Plugin = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    quick: Quick = False,
    profile: CardProfile = None,
    resume: Resume = False,
) -> None:
    """Print the configuration that [bold]spf train[/] uses with the same options, as YAML.

    Settings come from these sources: defaults, preset, backbone, --quick, --profile, --config,
    --backbone and --plugin, other options, --set. Later ones override earlier ones. With --resume, they
    override those of the run in --out. The command writes nothing.
    """
    from spf.training import training_choices

    choices = training_choices(
        data=data,
        trigger=trigger,
        steps=steps,
        seed=seed,
        start_from=start_from,
        evaluate_every=evaluate_every,
        preset=preset,
        backbone=backbone,
        plugin=plugin,
        config=config,
        assignments=assignments,
        quick=quick,
    )
    planned = planned_run(choices, out if resume else None, profile, resume=resume)
    typer.echo(planned.config.dump().rstrip())


@app.command("schema")
def show_schema(plugin: PluginFiles = None) -> None:
    """Print the JSON schema of a configuration, with the options of every installed component."""
    from spf.loading import load_plugins
    from spf_cli.schema import run_schema

    typer.echo(json.dumps(run_schema(load_plugins(plugin or ())), indent=2))
