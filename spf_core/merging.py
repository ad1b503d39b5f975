"""Raw settings before validation: YAML files, `a.b=c` assignments, and how one layer overrides another."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from spf_core.components import TermConfig
from spf_core.errors import ConfigError

SLOTS: dict[str, str] = {
    "backbone": "backbone",
    "adapter": "adapter",
    "reference": "reference",
    "control_map": "control-map",
    "response": "response",
    "reward": "reward",
    "editor": "prompt-editor",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `no` is a word (as in `precision: no`) and `1e-4` a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|false)$", re.IGNORECASE), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def _parse(text: str) -> Any:
    return _Loader(text).get_single_data()


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a mapping; ConfigError when the file is missing, broken or something else."""
    try:
        content = _parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config file '{file}' does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"config file '{file}' cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"config file '{file}' must hold a mapping of keys to values")
    return content


def parse_assignment(assignment: str) -> dict[str, Any]:
    """Turn `a.b=c` into `{"a": {"b": c}}`, with c read as YAML."""
    path, sign, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not sign or not all(keys):
        raise ConfigError(f"--set {assignment}: expected KEY=VALUE, for example --set train.steps=200")
    if keys == ["preset"]:
        raise ConfigError(f"--set {assignment}: a preset is chosen with --preset {text.strip()}")
    try:
        nested = _parse(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {assignment}: '{text}' is not a YAML value") from None
    for key in reversed(keys):
        nested = {key: nested}
    result: dict[str, Any] = nested
    return result


def merge(raw: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return `raw` overridden by `update`; neither is changed."""
    merged = dict(raw)
    for key, value in update.items():
        merged[key] = _merge_slot(raw.get(key), value) if key in SLOTS else _merge_value(raw.get(key), value)
    return merged


def _merge_value(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
    kept = dict(old) if isinstance(old, Mapping) else {}
    return {**kept, **{key: _merge_value(kept.get(key), value) for key, value in new.items()}}


def _merge_slot(old: Any, new: Any) -> Any:
    """Options stay when the component stays; another component keeps only weight and schedule."""
    if new is None:
        return None
    kept = dict(old) if isinstance(old, Mapping) else {} if old is None else {"name": old}
    options = dict(new) if isinstance(new, Mapping) else {"name": new}
    if "name" in options and options["name"] != kept.get("name"):
        kept = {key: kept[key] for key in TermConfig.model_fields if key in kept}
    return {**kept, **options}
