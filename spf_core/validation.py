"""Pydantic's findings as one line for the user. Torch-free."""

from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError

from spf_core.errors import did_you_mean


def explain(error: ValidationError, place: str, model: type[BaseModel]) -> str:
    """The first finding as `path: message`, with a suggestion for a misspelt key."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in ([place] if place else []) + list(first["loc"]))
    where = f"{path}: " if path else ""
    if first["type"] == "extra_forbidden":
        key, fields = str(first["loc"][-1]), _fields_at(model, first["loc"][:-1])
        known = f"Options: {', '.join(fields)}" if fields else "It has no options"
        return f"{where}unknown option '{key}'.{did_you_mean(key, fields)} {known}"
    if first["type"] == "missing":
        return f"{where}is required"
    if first["type"] == "value_error":
        return f"{where}{first['ctx']['error']}"
    return f"{where}{first['msg']} (got {first['input']!r})"


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
