"""The only reader and writer of YAML: plain values of YAML 1.2, nothing that runs or grows. Torch-free.

There are no tags, so that no value makes an object; no anchors and aliases, which can make a small file huge;
no keys that stand twice, of which one would be dropped. Dates stay text.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from spf_core.errors import ConfigError, printable, quoted, short
from spf_core.utils.prompts import text_fault

DEPTH = 30  # levels of nesting; a configuration has four
LARGEST = 2**20  # bytes of a file
DIGITS = 100  # of a whole number; Python itself refuses to read more than 4300
_NULL = re.compile(r"(?:null|Null|NULL|~|)")
_BOOL = re.compile(r"(?:true|false)", re.IGNORECASE)
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")


class NotYamlError(ValueError):
    """What is wrong with a YAML text, and the number of the line from 1 where it is known."""

    def __init__(self, reason: str, mark: Any = None) -> None:
        super().__init__(reason)
        self.line = None if mark is None else mark.line + 1


def read_yaml(file: Path, what: str = "config file") -> dict[str, Any]:
    """Read a mapping; ConfigError when the file is missing, broken or holds something else."""
    name = f"{what} '{short(str(file), 200)}'"
    try:
        content = parse_yaml(_text(file))
    except FileNotFoundError:
        raise ConfigError(f"{name} does not exist; give a file that does") from None
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be read: {error.strerror}; make it readable, or give another"
        ) from None
    except NotYamlError as fault:
        line = f", line {fault.line}" if fault.line else ""
        raise ConfigError(f"{name}{line}: {fault}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{name} holds no mapping; write keys and values, as in `train: {{steps: 200}}`")
    return content


def parse_yaml(text: str) -> Any:
    """The value of a YAML text: null, boolean, number, text, list or mapping; NotYamlError for another."""
    try:
        events = yaml.parse(text, yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            return None
        value = _value(next(events), events, DEPTH)
        next(events)  # the end of the document
        if not isinstance(following := next(events), yaml.StreamEndEvent):
            raise NotYamlError("a second document begins with ---; keep one", following.start_mark)
    except yaml.MarkedYAMLError as error:
        raise NotYamlError(short(error.problem or "it is not YAML", 120), error.problem_mark) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        fault = text_fault(text.split("\n")[line])
        reason = fault or f"holds U+{ord(text[error.position]):04X}, which cannot stand in YAML"
        mark = yaml.Mark("", error.position, line, 0, None, 0)
        raise NotYamlError(f"the text {reason}", mark) from None
    return value


def dump_yaml(content: Any) -> str:
    """The text that `parse_yaml` reads as `content`, with keys in their order."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def _text(file: Path) -> str:
    if file.is_dir() or (file.exists() and not file.is_file()):
        raise NotYamlError("it is not a file")  # a pipe would be waited for, a device never ends
    with file.open("rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise NotYamlError(f"it is larger than {LARGEST // 2**20} MB; is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotYamlError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    mark = event.start_mark
    if getattr(event, "anchor", None) is not None:
        raise NotYamlError("spf reads no anchors and aliases (& and *); write the value out", mark)
    if event.tag is not None:
        raise NotYamlError(f"spf reads no tags such as {short(event.tag, 40)}; leave it out", mark)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if depth == 0:
        raise NotYamlError(f"it is nested more than {DEPTH} levels deep", mark)
    if isinstance(event, yaml.SequenceStartEvent):
        return list(_items(events, depth - 1, yaml.SequenceEndEvent))
    return _mapping(events, depth - 1)


def _items(events: Iterator[Any], depth: int, end: type) -> Iterator[Any]:
    while not isinstance(event := next(events), end):
        yield _value(event, events, depth)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(event, events, depth)
        if not isinstance(key, str):
            raise NotYamlError(f"the key {quoted(key)} is not text; write it in quotes", event.start_mark)
        if key in found:
            raise NotYamlError(
                f"the key '{short(key)}' occurs a second time here; keep one", event.start_mark
            )
        found[key] = _value(next(events), events, depth)
    return found


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if fault := text_fault(text):
        raise NotYamlError(f"the text '{short(text)}' {fault}", event.start_mark)
    if not event.implicit[0]:  # in quotes, or a block
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return _integer(text, event.start_mark)
    return float(text) if _FLOAT.fullmatch(text) else text


def _integer(text: str, mark: Any) -> int:
    base = {"0x": 16, "0o": 8}.get(text[:2], 10)
    value = int(text, base) if len(text) <= DIGITS else 2**63
    if not -(2**63) <= value < 2**63:
        raise NotYamlError(f"{short(text, 40)} is too large for a whole number of 64 bits", mark)
    return value


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes wherever YAML 1.1 or `parse_yaml` would take it for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never write anchors: a value that occurs twice is written twice."""
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Write escapes for what a line could not hold: the emitter itself folds some of them away."""
        style = None if printable(data) == data.replace("\n", "\\n") else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)

for _tag, _pattern, _first in (("int", _INT, "-+0123456789"), ("float", _FLOAT, "-+.0123456789")):
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern.pattern})$"), list(_first)
    )
