"""`spf plugins check`: the contract of a component's kind, tried on a tiny model."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spf_cli.completion import names_of
from spf_cli.options import PluginFiles, text_at_home

if TYPE_CHECKING:
    from spf_core.plugins.discovery import Plugins
    from spf_core.testing.subject import Subject

_STYLES = {"passed": "green", "failed": "bold red", "not applicable": "dim"}


class TinyModel(StrEnum):
    """The tiny model that a component is tried on."""

    SD15 = "sd15"
    SDXL = "sdxl"
    SD3 = "sd3"


def check_plugin(
    component: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            callback=text_at_home,
            autocompletion=names_of(),
            help="A component, a plugin file, or the folder of a package, which need not be installed.",
        ),
    ],
    plugin: PluginFiles = None,
    backbone: Annotated[
        TinyModel, typer.Option(help="The architecture of the tiny random model to try it on.")
    ] = TinyModel.SD15,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the component, or a setting of the run that it is tried in, such as "
            "[cyan]adapter=full-unet[/]. Repeatable.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out the checks that train a model.")] = False,
) -> None:
    """Check that a component keeps the contract of its kind, on a tiny random model.

    It exits with code 2 if a check fails.
    """
    from spf_cli.render import say
    from spf_core.errors import PluginError

    plugins, names = _found(component, plugin or [])
    failed = []
    for place, name in enumerate(names):
        if place:
            say()
        subject = _subject(plugins, name, backbone, assignments or [])
        try:
            count = _examine(subject, training=not quick)
        finally:
            subject.close()
        if count:
            failed.append(f"{subject.kind} '{name}' fails {count} of its checks")
    if failed:
        raise PluginError(f"{'; '.join(failed)}. The table says what is wrong with each")


def _found(component: str, files: list[Path]) -> "tuple[Plugins, list[str]]":
    """The registry, and the components to check."""
    from spf.loading import is_file, load_plugins
    from spf_core.plugins.discovery import load_folder

    path = Path(component)
    if is_file(component):
        plugins = load_plugins([*files, path])
        return plugins, [name for name, entry in plugins.entries.items() if entry.provider == str(path)]
    plugins = load_plugins(files)
    if component not in plugins.entries and (path.is_dir() or "/" in component):
        return plugins, load_folder(plugins, path)
    plugins.get(component)
    return plugins, [component]


def _subject(plugins: "Plugins", name: str, backbone: str, assignments: list[str]) -> "Subject":
    """The component with its options, and the settings of its run."""
    from spf_core.config.merging import merge, parse_assignment
    from spf_core.errors import ConfigError
    from spf_core.testing.subject import subject_of, with_options

    config = plugins.get(name)
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for assignment in assignments:
        given = parse_assignment(assignment)
        own = next(iter(given)) in config.model_fields
        options, settings = (merge(options, given), settings) if own else (options, merge(settings, given))
    tiny = {"path"} if config.kind == "backbone" else set[str]()  # which the tiny model's folder fills
    required = {each for each, field in config.model_fields.items() if field.is_required()}
    if lacking := sorted(required - options.keys() - tiny):
        ways = " ".join(f"--set {each}=VALUE" for each in lacking)
        but = ", as the tiny model fills `path` alone" if tiny else ""
        raise ConfigError(f"{config.kind} '{name}' has no default for {', '.join(lacking)}; add {ways}{but}")
    component = with_options(config, options) if options else config
    return subject_of(component, plugins, backbone, settings)  # type: ignore[arg-type]


def _examine(subject: "Subject", *, training: bool) -> int:
    """Print the verdicts, and return how many failed."""
    from rich.text import Text

    from spf_cli.render import note, show, table
    from spf_core.testing.component import examine

    title = f"{subject.kind} '{subject.config.name}' on a tiny {subject.architecture}"
    note("checking", "cyan", f"{title}; this takes up to a minute" if training else title)
    found = list(examine(subject, training=training))
    rows = [(each.check, Text(each.state, style=_STYLES[each.state]), each.note) for each in found]
    show(table(title, ("check", "verdict", "way out, or why"), rows))
    return sum(each.state == "failed" for each in found)
