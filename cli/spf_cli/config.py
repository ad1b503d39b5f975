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
    named,
    new_config,
    refuse_profile,
    resumed_config,
    training_choices,
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
    if resume:
        refuse_profile(profile)
    resolved, _ = resumed_config(named(out), choices) if resume else new_config(choices, profile)
    typer.echo(resolved.dump().rstrip())


@app.command("schema")
def show_schema(plugin: PluginFiles = None) -> None:
    """Print the JSON schema of a configuration, with the options of every installed component."""
    from spf_cli.loading import load
    from spf_cli.schema import run_schema

    typer.echo(json.dumps(run_schema(load(plugin or ())), indent=2))
