"""Every command with its arguments and options, from the command line itself."""

from collections.abc import Iterator
from typing import Any

import typer

from docs.generators.markdown import cell, code, plain, table
from spf_cli.app import build_app


def command_pages() -> str:
    return "\n".join(_section(words, command) for words, command in all_commands())


def all_commands(group: Any = None, words: str = "spf") -> Iterator[tuple[str, Any]]:
    """Every command by its words; a group comes before its commands."""
    group = group or typer.main.get_command(build_app())
    yield words, group
    if hasattr(group, "list_commands"):
        context = typer.Context(group, info_name=words)
        for name in group.list_commands(context):
            yield from all_commands(group.get_command(context, name), f"{words} {name}")


def _section(words: str, command: Any) -> str:
    shown = [param for param in command.params if not param.hidden]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    options = [param for param in shown if param.param_type_name == "option"]
    usage = " ".join([words, *(_metavar(param) for param in arguments), *(["[OPTIONS]"] if options else [])])
    if hasattr(command, "list_commands"):
        usage = f"{words} COMMAND"
    parts = [f"## {words}" if words.count(" ") < 2 else f"### {words}", plain(command.help or "").strip()]
    parts.append(f"```text\n{usage}\n```")
    if arguments:
        parts.append(
            table(("argument", "meaning"), ((code(_metavar(p)), cell(p.help or "")) for p in arguments))
        )
    if options:
        parts.append(
            table(
                ("option", "meaning", "default"),
                ((code(_written(p)), cell(p.help or ""), code(_default(p))) for p in options),
            )
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _metavar(param: Any) -> str:
    name = param.metavar or param.name.upper()
    return f"{name}..." if param.nargs == -1 or param.multiple else name


def _written(param: Any) -> str:
    """As in `--steps N` or `--amp / --no-amp`."""
    names = " / ".join([", ".join(param.opts), *param.secondary_opts])
    return names if param.is_flag or param.count else f"{names} {_metavar(param)}"


def _default(param: Any) -> str:
    if isinstance(param.show_default, str):
        return param.show_default
    value = param.default
    if param.required:
        return "required"
    return "" if value is None or value is False or callable(value) or value == () else str(value)
