"""Raw settings before validation: `a.b=c` assignments, and how one layer overrides another."""

from collections.abc import Mapping, Sequence
from typing import Any

from spf_core.errors import ConfigError, short
from spf_core.plugins.configs import KINDS
from spf_core.utils.yaml_text import DEPTH, NotYamlError, parse_yaml

SLOTS: dict[str, str] = {
    "backbone": "backbone",
    "adapter": "adapter",
    "reference": "reference",
    "control_map": "control-map",
    "response": "response",
    "reward": "reward",
    "editor": "prompt-editor",
    "optimizer": "optimizer",
    "reader": "data-reader",
}


def parse_assignment(assignment: str) -> dict[str, Any]:
    """Turn `a.b=c` into `{"a": {"b": c}}`, with c read as YAML."""
    path, sign, text = assignment.partition("=")
    place = f"--set {short(assignment)}"
    if not sign:
        raise ConfigError(f"{place}: expected KEY=VALUE, for example --set train.steps=200")
    try:
        return nested(path, parse_yaml(text), place)
    except NotYamlError as fault:
        raise ConfigError(f"{place}: {fault}") from None


def nested(path: str, value: Any, place: str) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the path `a.b`; ConfigError names `place` where no setting is meant."""
    keys = path.strip().split(".")
    if not all(keys) or len(keys) > DEPTH:
        raise ConfigError(f"{place}: expected KEY=VALUE, for example --set train.steps=200")
    if keys == ["preset"]:
        raise ConfigError(
            f"{place}: no setting holds the preset; choose it with --preset {short(str(value))}"
        )
    if keys[0] == "plugins":
        raise ConfigError(f"{place}: no setting makes a plugin file run; name it with --plugin FILE.py")
    for key in reversed(keys):
        value = {key: value}
    result: dict[str, Any] = value
    return result


def options_by_name(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The options of components by the components' names, from NAME.OPTION=VALUE; ConfigError for others."""
    found: dict[str, Any] = {}
    for assignment in assignments:
        parsed = parse_assignment(assignment)
        if not all(isinstance(values, Mapping) for values in parsed.values()):
            raise ConfigError(f"--set {short(assignment)}: expected {next(iter(parsed))}.OPTION=VALUE")
        found = merge(found, parsed)
    return found


def merge(raw: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return `raw` overridden by `update`; neither is changed."""
    merged = dict(raw)
    for key, value in update.items():
        old = raw.get(key)
        merged[key] = _merge_slot(SLOTS[key], old, value) if key in SLOTS else _merge_value(old, value)
    return merged


def _merge_value(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
    kept = dict(old) if isinstance(old, Mapping) else {}
    return {**kept, **{key: _merge_value(kept.get(key), value) for key, value in new.items()}}


def _merge_slot(kind: str, old: Any, new: Any) -> Any:
    """Options stay when the component stays; another one keeps those that all components of its kind have."""
    if new is None:
        return None
    kept = dict(old) if isinstance(old, Mapping) else {} if old is None else {"name": old}
    options = dict(new) if isinstance(new, Mapping) else {"name": new}
    # Without an earlier name, the options that are there were given for whichever component is chosen later.
    if "name" in options and kept.get("name", options["name"]) != options["name"]:
        kept = {key: kept[key] for key in KINDS[kind].model_fields if key in kept}
    return {**kept, **options}
