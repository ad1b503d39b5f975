"""Options that several commands share."""

import shlex
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from spf.numbers import LAST_SEED as LAST_SEED
from spf_cli.completion import names_of, plugins_and_files
from spf_core.errors import ConfigError, quoted, short
from spf_core.utils.paths import expanded
from spf_core.utils.prompts import text_fault
from spf_core.utils.validation import MANY as MANY
from spf_core.utils.validation import explain

if TYPE_CHECKING:
    from spf_core.config.sections import DatasetSection
    from spf_core.plugins.configs import DataReaderConfig
    from spf_core.plugins.discovery import Plugins

CONFIGURATION = "Configuration"
OUTPUT = "Output"
SMALL = "mini"  # the backbone of commands that are given none
_EXPANDS = "expands_home"  # the mark of a function that at_home returns


class DeviceName(StrEnum):
    """The device to compute on; `auto` is the best one available."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


def show_help(ctx: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`"0,0.5,1"` as numbers; ConfigError when a part is none."""
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = (float("nan"),)
    if not all(map(isfinite, found)):
        raise ConfigError(f"{option} {short(text)}: give numbers between commas, as in 0,0.5,1")
    return found


def readable(param: typer.CallbackParam, value: str | list[str] | None) -> str | list[str] | None:
    """The text of an option, or its texts; ConfigError when no tokenizer takes one."""
    for text in [value] if isinstance(value, str) else value or []:
        if fault := text_fault(text):
            raise ConfigError(f"{param.opts[0]} {short(text)}: the text {fault}")
    return value


def in_a_group(command: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a command whose processes work as one when torchrun or accelerate launch starts several."""
    command.__dict__["in_a_group"] = True
    return command


def runs_in_a_group(command: Callable[..., Any] | None) -> bool:
    """Whether the command is marked so."""
    return getattr(command, "in_a_group", False)


def same_options(ctx: typer.Context, command: str, leave_out: Sequence[str] = ()) -> str:
    """`command` with the options of this invocation, for a shell, without the parameters `leave_out`."""
    words: list[str] = []
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if param.name in leave_out or value is None or value is False:
            continue
        if value is True:
            words.append(param.opts[0])
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            words += [param.opts[0], str(each)]
    return f"{command} {shlex.join(words)}".rstrip()


def at_home(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with `~` expanded in each of its paths; shells do not expand it in `--out=~/run`."""
    if vars(command).get(_EXPANDS):  # groups of commands outlive the command line that is built of them
        return command

    @wraps(command)
    def called(**options: Any) -> Any:
        return command(**{name: _at_home(value) for name, value in options.items()})

    vars(called)[_EXPANDS] = True
    return called


def _at_home(value: Any) -> Any:
    if isinstance(value, Path):
        return Path(expanded(str(value)))
    return [_at_home(each) for each in value] if isinstance(value, list) else value


def text_at_home(text: str) -> str:
    """The argument with `~` expanded, where it may also be something else than a path."""
    return expanded(text)


def _plugins_at_home(chosen: list[str] | None) -> list[str] | None:

    return None if chosen is None else [expanded(item) if item.endswith(".py") else item for item in chosen]


Preset = Annotated[
    str | None,
    typer.Option(
        help="A named configuration, such as spf or lora.",
        show_default="spf",
        rich_help_panel=CONFIGURATION,
        autocompletion=names_of("preset"),
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="The base model: mini, sd15, sdxl or a plugin's.",
        rich_help_panel=CONFIGURATION,
        autocompletion=names_of("backbone"),
    ),
]
Plugin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE.py",
        callback=_plugins_at_home,
        autocompletion=plugins_and_files,
        help="Use this component, or those in this file. Repeatable.",
        rich_help_panel=CONFIGURATION,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="A YAML file with settings.", rich_help_panel=CONFIGURATION
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="One setting, as in [cyan]train.batch_size=4[/]. It overrides all other sources. Repeatable.",
        rich_help_panel=CONFIGURATION,
    ),
]
Trigger = Annotated[
    str | None,
    typer.Option(
        callback=readable,
        metavar="WORDS",
        help="Words of the target in the captions. They become the target text, and the rest the base text.",
    ),
]
Device = Annotated[DeviceName, typer.Option(help="The device to compute on.", rich_help_panel="Machine")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of [bold]spf train[/].")]
OptionalRun = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="A run folder of [bold]spf train[/].", show_default=False),
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="In place of --prompt: a text file with one prompt a line. spf skips lines that start with #.",
        show_default=False,
    ),
]
BaseModel = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help="The base model of files: sd15, sdxl, mini or a plugin's.",
        show_default="that of the runs",
        autocompletion=names_of("backbone"),
        rich_help_panel=CONFIGURATION,
    ),
]
FirstSeed = Annotated[int, typer.Option(min=0, max=LAST_SEED, help="The first seed. The others follow it.")]
SamplerSteps = Annotated[
    int | None, typer.Option(min=1, max=MANY, help="Number of sampler steps.", show_default="of the run")
]
Guidance = Annotated[
    float | None,
    typer.Option(min=0, help="Classifier-free guidance scale.", show_default="of the run"),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE.py", help="Also load this plugin file. Repeatable."),
]
Prompts = Annotated[
    str,
    typer.Option(
        metavar="N|FILE",
        callback=text_at_home,
        help="Number of prompts that training never saw, or a file of your own: a prompt on each line, "
        "or JSON lines or CSV with `prompt`.",
    ),
]
Handover = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=1,
        help="Fraction of the noise schedule where the tuned model takes over. With 1, it takes every step.",
        show_default="of the run",
    ),
]


def dataset_options(
    trigger: str | None, assignments: Sequence[str], read: str = "settings of dataset"
) -> "DatasetSection":
    """The `dataset` settings of the flags; ConfigError for a wrong one or any other setting.

    `read` says which settings the command reads.
    """
    from spf_core.config.merging import merge, parse_assignment
    from spf_core.config.sections import DatasetSection

    raw: dict[str, Any] = {"dataset": {} if trigger is None else {"trigger": trigger}}
    for assignment in assignments:
        raw = merge(raw, parse_assignment(assignment))
    if set(raw) != {"dataset"} or not isinstance(raw["dataset"], dict):
        raise ConfigError(
            f"--set {short(' '.join(assignments))}: spf data does not read it; give only {read}"
        )
    try:
        return DatasetSection.model_validate(raw["dataset"])
    except ValidationError as error:
        raise ConfigError(explain(error, "dataset", DatasetSection)) from None


def chosen_reader(
    plugins: "Plugins", files: Sequence[Path], assignments: Sequence[str]
) -> "DataReaderConfig | None":
    """The data reader that `--set reader=NAME` or a plugin file chooses; None where neither does."""
    from spf_core.config.loading import parse_component
    from spf_core.config.merging import merge, parse_assignment
    from spf_core.plugins.configs import DataReaderConfig

    given, readers = set(map(str, files)), plugins.of_kind("data-reader")
    in_files = [name for name, entry in readers.items() if entry.provider in given]
    raw: dict[str, Any] = {"reader": in_files[-1]} if in_files else {}
    for assignment in assignments:
        raw = merge(raw, parse_assignment(assignment))
    if raw.get("reader") is None:
        return None
    chosen = parse_component(plugins, "data-reader", raw["reader"], "reader")
    assert isinstance(chosen, DataReaderConfig), "of that kind"
    return chosen


def backbone_options(backbone: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    """Name and options of the backbone that --backbone and `--set` with settings of `backbone` choose.

    ConfigError for a setting of anything else.
    """
    from spf_core.config.merging import merge, parse_assignment

    raw: dict[str, Any] = {"backbone": backbone or SMALL}
    for assignment in assignments:
        given = parse_assignment(assignment)
        if given.keys() != {"backbone"}:
            raise ConfigError(
                f"--set {short(assignment)}: spf doctor does not read it; "
                "give only settings of the backbone, as in backbone.path=FOLDER"
            )
        raw = merge(raw, given)
    chosen = raw["backbone"]
    if not isinstance(chosen, str | dict):
        raise ConfigError(f"backbone: expected the name of a backbone, got {quoted(chosen)}")
    return {"name": chosen} if isinstance(chosen, str) else chosen


def is_of(section: str, assignment: str) -> bool:
    """Whether `--set` is given a setting of the section, such as `backbone`."""
    return assignment.partition("=")[0].strip().partition(".")[0] == section
