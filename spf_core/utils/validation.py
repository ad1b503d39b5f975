"""Pydantic's findings as one line for the user. Torch-free."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from spf_core.errors import did_you_mean, quoted, short
from spf_core.utils.prompts import text_fault

LARGEST = 2**63 - 1
MANY = 1_000_000  # of what is counted: pictures, prompts, rows, ranks
_FINDING = 400  # characters of a finding, which may hold a value of the user


def _readable(text: Any) -> Any:
    if isinstance(text, str) and (fault := text_fault(text)):
        raise ValueError(f"'{short(text)}' {fault}")
    return text


Text = Annotated[str, BeforeValidator(_readable)]
"""A text that a tokenizer is to read."""


class Strict(BaseModel):
    """A frozen part of the configuration: no unknown keys, no number or text that a file cannot hold."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,  # `spf --help` reads every config class and validates nothing
    )

    @field_validator("*", mode="before")
    @classmethod
    def _a_number_where_one_is_meant(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false, which pydantic would take for 1 and 0."""
        types = _types(cls.model_fields[info.field_name or ""].annotation)
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        numeric = bool not in types and (int in types or float in types)
        if numeric and any(isinstance(part, bool) for part in parts):
            raise ValueError(f"expected a number, not true or false (got {quoted(value)})")
        return value

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, int) and abs(part) > LARGEST:
                raise ValueError(f"{quoted(part, 40)} is too large; the largest whole number is {LARGEST}")
            _readable(part)
        return value


def explain(error: ValidationError, place: str, model: type[BaseModel]) -> str:
    """The first finding as `path: message`, with a suggestion for a misspelt key."""
    first = error.errors(include_url=False)[0]
    path = ".".join(short(str(part), 40) for part in ([place] if place else []) + list(first["loc"]))
    where = f"{path}: " if path else ""
    if first["type"] == "extra_forbidden":
        key, fields = str(first["loc"][-1]), _fields_at(model, first["loc"][:-1])
        known = f"Options: {', '.join(fields)}" if fields else "It has no options"
        return f"{where}unknown option '{short(key)}'.{did_you_mean(key, fields)} {known}"
    if first["type"] == "missing":
        return f"{where}is required; give it a value"
    if first["type"] == "value_error":
        return f"{where}{short(str(first['ctx']['error']), _FINDING)}"
    way_out = "; write a list, as in [a, b]" if first["type"] in ("tuple_type", "list_type") else ""
    return f"{where}{short(first['msg'], _FINDING)} (got {quoted(first['input'])}){way_out}"


def _types(annotation: Any) -> list[Any]:
    """The types that an annotation is made of, as int and NoneType of `tuple[int, ...] | None`."""
    inner = () if get_origin(annotation) is Literal else get_args(annotation)
    inner = inner[:1] if get_origin(annotation) is Annotated else inner
    return [found for part in inner for found in _types(part)] or [annotation]


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return [field.alias or name for name, field in model.model_fields.items()]
