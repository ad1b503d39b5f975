"""`spf plugins list` and `show`: what is installed, and the options of each component."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from spf_cli.completion import names_of
from spf_cli.options import PluginFiles
from spf_core.plugins.configs import KINDS, PROTOCOL_OF, PresetConfig, ScoreConfig
from spf_core.plugins.outside_weights import HOME, OutsideWeights, WeightedScoreConfig

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from spf_core.plugins.configs import Component
    from spf_core.plugins.discovery import Plugins
    from spf_core.plugins.providers import Provider

WITH_PROVIDER = 100  # columns of a terminal
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def list_plugins(ctx: typer.Context, plugin: PluginFiles = None) -> None:
    """List all components: kind, name, summary and, in a terminal of 100 columns or more, provider.

    Below them it lists the plugins that bring them, or commands, with version and state: loaded, disabled or
    failed.
    """
    from spf_cli.render import console, show, table
    from spf_core.plugins.discovery import COMMANDS, load_plugins

    plugins = load_plugins(dict.fromkeys(str(file) for file in plugin or ()))
    rows = [
        (kind, name, entry.summary, f"{entry.provider} {entry.version}")
        for kind in KINDS
        for name, entry in plugins.of_kind(kind).items()
    ]
    shown = 4 if console().width >= WITH_PROVIDER else 3
    show(table("", ("kind", "name", "summary", "provider")[:shown], [row[:shown] for row in rows]), "")
    show(table("", ("plugin", "package", "version", "state"), _states(plugins.providers, ctx.meta[COMMANDS])))


def show_plugin(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name that [bold]spf plugins list[/] shows.",
            autocompletion=names_of(),
        ),
    ],
    plugin: PluginFiles = None,
) -> None:
    """Show what a component is, needs and returns, who provides it, and its options.

    For a plugin or package it shows its state, its components and its hooks.
    """
    from spf.loading import load_plugins
    from spf_cli.render import show, table
    from spf_core.plugins.discovery import COMMANDS

    plugins = load_plugins(plugin or ())
    providers = [
        each for each in (*plugins.providers, *ctx.meta[COMMANDS]) if name in (each.name, each.package)
    ]
    if name not in plugins.entries and any(each.state == "loaded" for each in providers):
        show(table(name, ("", ""), list(_brought(plugins, providers, ctx.meta[COMMANDS]))))
        return
    config = plugins.get(name)
    entry = plugins.entries[name]
    rows = [("kind", config.kind), ("summary", entry.summary)]
    if config.kind in PROTOCOL_OF:
        rows.append(("builds", f"spf_core.interfaces.{PROTOCOL_OF[config.kind]}"))
    if hasattr(config, "needs"):
        rows.append(("needs", ", ".join(sorted(config.needs)) or "nothing"))
    rows.append(("provider", f"{entry.provider} {entry.version}"))
    rows += _package(next(each for each in plugins.providers if each.name == entry.provider))
    show(table(name, ("", ""), [*rows, *_weights(config)]), "")
    if issubclass(config, PresetConfig):
        from spf_core.utils.yaml_text import dump_yaml

        typer.echo(dump_yaml(config.settings).rstrip())
    elif config.model_fields:
        show(table("", ("option", "type", "default", "range", "description"), list(option_rows(config))))
    else:
        typer.echo("no options")


def _package(provider: "Provider") -> "Iterator[tuple[str, str]]":
    """The package that a plugin comes from, and what its metadata says."""
    if provider.package:
        yield "package", f"{provider.package} {provider.version}"
    if provider.made_for and not provider.own:
        yield "made for", f"spf{provider.made_for}"
    if provider.homepage:
        yield "homepage", provider.homepage


def _brought(
    plugins: "Plugins", providers: "Sequence[Provider]", commands: "Sequence[Provider]"
) -> "Iterator[tuple[str, str]]":
    """What plugins of one name or package bring, and whether spf uses it."""
    from spf_core.plugins.hookspecs import HOOKS

    yield from _package(providers[0])
    for each in providers:
        state = f"{each.state}: {each.reason}" if each.reason else each.state
        if each in commands:
            yield f"commands of {each.name}", state
            continue
        yield f"plugin {each.name}", state
        names = [name for name, entry in plugins.entries.items() if entry.provider == each.name]
        modules = [vars(module.module) for module in plugins.modules if module.provider == each.name]
        hooks = [hook for hook in HOOKS if any(hook in module for module in modules)]
        yield "components", ", ".join(names) or "none"
        yield "hooks", ", ".join(hooks) or "none"


def _states(
    components: "Sequence[Provider]", commands: "Sequence[Provider]"
) -> Iterator[tuple[str, str, str, str]]:
    """A row for each plugin and state; those of spf itself share one, and so do components and commands."""
    own = [each for each in components if each.own and each.state == "loaded"]
    if own:
        yield f"{len(own)} of spf's own", own[0].package, own[0].version, "loaded"
    states = {(each.package, each.state) for each in components}
    packages = {each.package for each in components}
    rows: dict[tuple[str, str, str], dict[str, None]] = {}
    for each in (*components, *commands):
        if each.own and each.state == "loaded":
            continue
        state = f"{each.state}: {each.reason}" if each.reason else each.state
        if each.package in packages and (each.package, each.state) not in states:
            state = f"commands {state}"
        if not each.package and each.made_for:
            state += f", made for spf{each.made_for}"
        row = each.package or "a file", each.version if each.package else "", state
        rows.setdefault(row, {})[each.name] = None
    for row, names in rows.items():
        for name in [", ".join(names)] if row[0] != "a file" else names:
            yield name, *row


def _weights(config: "type[Component]") -> Iterator[tuple[str, str]]:
    """The weights that a score needs and that spf does not contain."""
    from inspect import getdoc

    if issubclass(config, WeightedScoreConfig):
        yield "weights", f"option `path`, or ${HOME}/{config.weights}"
        yield "usual model", config.hub or "not on the hub as safetensors"
        if config.convert is not ScoreConfig.convert:
            yield "convert from", getdoc(config.convert) or ""
        yield "licence", config.licence
    for name, weights in _nested(config):
        model = weights.hub or "not on the hub as safetensors"
        yield f"weights of {name}", f"option `{name}.path`, or ${HOME}/{weights().weights_name}"
        yield "", f"usual model: {model}; licence: {weights.licence}"


def _nested(config: "type[BaseModel]") -> "Iterator[tuple[str, type[OutsideWeights]]]":
    """Options that are the weights of a judge."""
    for name, info in config.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, OutsideWeights):
            yield name, kind


def option_rows(config: "type[BaseModel]") -> Iterator[tuple[str, str, str, str, str]]:
    """A row for each option; those of a judge's weights under the judge's name."""
    nested = dict(_nested(config))
    for name, info in config.model_fields.items():
        if name not in nested:
            yield _option(name, info)
        for option, each in nested[name].model_fields.items() if name in nested else ():
            yield _option(f"{name}.{option}", each)


def _option(name: str, info: "FieldInfo") -> tuple[str, str, str, str, str]:
    default = "required" if info.is_required() else str(info.get_default(call_default_factory=True))
    return name, _type(info.annotation), default, " and ".join(_range(info)), info.description or ""


def _type(annotation: Any) -> str:
    """`int`, `float | None`, `'a' | 'b'`: types as one would write them."""
    if get_origin(annotation) is Literal:
        return " | ".join(repr(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_type(each) for each in get_args(annotation)).replace("NoneType", "None")
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return f"tuple[{', '.join('...' if each is ... else _type(each) for each in get_args(annotation))}]"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("pathlib.", "")


def _range(info: "FieldInfo") -> Iterator[str]:
    for bound in info.metadata:
        for attribute, sign in _BOUNDS.items():
            if getattr(bound, attribute, None) is not None:
                yield f"{sign} {getattr(bound, attribute)}"
