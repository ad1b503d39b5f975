"""The JSON schema of the run configuration, completed with the installed components. Torch-free."""

from typing import Any

from spf_core.config.merging import SLOTS
from spf_core.config.run_config import RunConfig
from spf_core.plugins.configs import KINDS, Component
from spf_core.plugins.discovery import Plugins

Schema = dict[str, Any]
_NULLABLE = ("reference", "control_map", "response", "reader")
_WITH_DEFAULT = ("optimizer",)  # options without a name are those of the default component


def run_schema(plugins: Plugins) -> Schema:
    """Describe a configuration file: each slot is a component's name or its options; nothing is required."""
    schema = RunConfig.model_json_schema(ref_template="#/$defs/{model}")
    schema.pop("required", None)
    definitions: Schema = schema.setdefault("$defs", {})
    for slot, kind in SLOTS.items():
        named = slot not in _WITH_DEFAULT
        schema["properties"][slot] = _slot(
            plugins, kind, definitions, nullable=slot in _NULLABLE, named=named
        )
        definitions.pop(KINDS[kind].__name__)
    trackers = definitions["TrainSection"]["properties"]["trackers"]
    trackers["items"] = _slot(plugins, "tracker", definitions)
    definitions.pop(KINDS["tracker"].__name__)
    schema["properties"]["losses"] = _losses(plugins, definitions)
    definitions.pop(KINDS["loss"].__name__)
    schema["properties"]["preset"]["enum"] = list(plugins.of_kind("preset"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _slot(
    plugins: Plugins, kind: str, definitions: Schema, *, nullable: bool = False, named: bool = True
) -> Schema:
    entries = plugins.of_kind(kind)
    choices: list[Schema] = [{"enum": list(entries)}]
    for name, entry in entries.items():
        choices.append(_with_name(_options(name, entry.config, definitions), required=named))
    return {"anyOf": [*choices, {"type": "null"}] if nullable else choices}


def _losses(plugins: Plugins, definitions: Schema) -> Schema:
    properties = {
        name: {
            "anyOf": [_with_name(_options(name, entry.config, definitions), required=False), {"const": False}]
        }
        for name, entry in plugins.of_kind("loss").items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}


def _options(name: str, config: type[Component], definitions: Schema) -> Schema:
    schema = config.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for nested, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}.{nested}"] = definition
    schema["title"] = name
    return schema


def _with_name(schema: Schema, *, required: bool) -> Schema:
    properties = {"name": {"const": schema["title"]}, **schema.get("properties", {})}
    named = {"required": ["name", *schema.get("required", [])]} if required else {}
    return {**schema, "properties": properties, **named}
