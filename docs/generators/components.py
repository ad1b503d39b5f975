"""Components with their options, presets with their settings, and the sections of a configuration."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from docs.generators.markdown import cell, code, plain, table
from spf_cli.plugins.listing import option_rows
from spf_core.config.merging import SLOTS
from spf_core.config.run_config import RunConfig
from spf_core.config.sections import Section
from spf_core.plugins.configs import KINDS, Component
from spf_core.plugins.discovery import Entry, load_plugins
from spf_core.utils.yaml_text import dump_yaml

OPTIONS = ("option", "type", "default", "range", "meaning")


def component_lists() -> str:
    plugins = load_plugins()
    parts = []
    for kind in KINDS:
        if kind == "preset":
            continue
        parts.append(f"## {kind.replace('-', ' ').capitalize()} {{ #kind-{kind} }}")
        parts.extend(_component(name, entry) for name, entry in plugins.of_kind(kind).items())
    return "\n\n".join(parts) + "\n"


def _component(name: str, entry: Entry) -> str:
    rows = list(_rows(entry.config))
    options = table(OPTIONS, rows) if rows else "It has no options.\n"
    return f"### {name} {{ #{name} }}\n\n{plain(entry.summary)}\n\n{options}"


def _rows(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, kind, default, limits, meaning in option_rows(model):
        yield code(name), code(kind), code(default), code(limits), cell(meaning)


def presets_in_full() -> str:
    parts = []
    for name, entry in load_plugins().of_kind("preset").items():
        settings: Any = entry.config.settings
        block = "\n".join(f"    {line}" for line in dump_yaml(settings).rstrip().splitlines())
        parts.append(
            f"### {name} {{ #preset-{name} }}\n\n{plain(entry.summary)}\n\n"
            f'??? note "Settings of `{name}`"\n    ```yaml\n{block}\n    ```\n'
        )
    return "\n".join(parts)


def configuration() -> str:
    """A section for each part of a configuration that is no component, and a table of the slots."""
    slots = [
        (code(slot), f"[{kind.replace('-', ' ')}](components.md#kind-{kind})") for slot, kind in SLOTS.items()
    ]
    slots.append((code("losses"), "[loss](components.md#kind-loss)"))
    parts = ["## Slots of components", table(("key", "kind"), slots)]
    for name, info in RunConfig.model_fields.items():
        section = info.annotation
        # A slot whose components share options, which the presets set, is shown with these.
        shares = isinstance(section, type) and issubclass(section, Component) and section.model_fields
        if shares or (isinstance(section, type) and issubclass(section, Section)):
            summary = " ".join((section.__doc__ or "").split())
            parts += [f"## {name} {{ #section-{name} }}", plain(summary), table(OPTIONS, _rows(section))]
    return "\n\n".join(parts)
