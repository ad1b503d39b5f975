"""The messages of spf's errors, read from its source: each with its cause and its way out."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from docs.generators.markdown import cell, code, plain, table
from spf_core.errors import SpfError

PACKAGES = ("spf_core", "plugins", "cli")
ADVICE = (
    "add",
    "choose",
    "expected",
    "give",
    "name",
    "pip",
    "run",
    "set",
    "use",
    "write",
)  # begins a way out

HINTS = ("did_you_mean", "hint")  # what messages call a suggestion, which begins with a blank


class Message(NamedTuple):
    file: Path
    error: str
    cause: str
    way_out: str


def error_names(root: Path) -> frozenset[str]:
    """Every class that descends from SpfError, by name."""
    bases: dict[str, set[str]] = {}
    for file in _sources(root):
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    known = {SpfError.__name__}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    return frozenset(known)


def messages(root: Path) -> Iterator[Message]:
    known = error_names(root)
    for file in _sources(root):
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in known and node.args:
                for text in _texts(node.args[0]):
                    if len([word for word in text.split() if not word.isupper()]) > 2:
                        yield Message(file.relative_to(root), node.func.id, *_parted(text))  # type: ignore[attr-defined]


def messages_by_room(root: Path) -> str:
    """A section for each room, a table for each of its files."""
    rooms: dict[str, dict[Path, list[Message]]] = defaultdict(lambda: defaultdict(list))
    for message in messages(root):
        rooms[_room(message.file)][message.file].append(message)
    parts = []
    for room, files in sorted(rooms.items()):
        parts.append(f"## In `{room}`")
        for file, found in sorted(files.items()):
            doc = ast.get_docstring(_parsed(root / file)) or file.stem
            parts.append(f"### {plain(_title(doc))} {{ #{'-'.join(file.with_suffix('').parts)} }}")
            rows = dict.fromkeys((cell(each.cause), cell(each.way_out) or "-") for each in found)
            parts.append(table(("message", "way out"), rows))
    return "\n\n".join(parts)


def error_classes(root: Path) -> str:
    """A table of the classes, each with what it says of itself."""
    known, rows = error_names(root), []
    for file in _sources(root):
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.ClassDef) and node.name in known:
                module = ".".join(file.relative_to(root).with_suffix("").parts).removeprefix("plugins.")
                meaning = (ast.get_docstring(node) or "").splitlines()[0]
                rows.append((code(node.name), code(module.removeprefix("cli.")), cell(meaning)))
    return table(("class", "module", "meaning"), rows)


def _title(doc: str) -> str:
    """The first sentence of a docstring, up to its colon where that leaves a few words."""
    first = doc.splitlines()[0].split(". ")[0].rstrip(".")
    head = first.split(": ")[0]
    return head if len(head.split()) > 2 else first


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _sources(root: Path) -> list[Path]:
    return [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]


def _room(file: Path) -> str:
    """`spf_core/data` for a file of the engine, `spf_lab/study` for one of a plugin, `spf_cli`."""
    parts = file.parts if file.parts[0] == "spf_core" else file.parts[1:]
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be; what is filled in stands as a name in capitals."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            yield "".join(_piece(value) for value in values)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for first in _texts(left):
                for second in _texts(right):
                    yield first + second


def _piece(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)
    called = node.value.func if isinstance(node.value, ast.Call) else node.value
    if getattr(called, "id", "") in HINTS:
        return " Did you mean 'NAME'?"
    if isinstance(node.value, ast.IfExp) and (texts := list(_texts(node.value))):
        return next((text for text in texts if text), "")
    return _named(node.value).upper()


def _named(node: ast.expr) -> str:
    """One word for what is filled in, as in TRIGGER."""
    match node:
        case ast.Name(id=name):
            return name.strip("_")
        case ast.Attribute(attr=name):
            return name.strip("_")
        case ast.Call(func=ast.Name(id="map"), args=[_, inner]):
            return _named(inner)
        case ast.Call(func=ast.Name(id="len")):
            return "number"
        case ast.Call(func=ast.Attribute(attr="join"), args=[ast.GeneratorExp(generators=[each, *_]), *_]):
            return _named(each.iter)
        case ast.Call(func=ast.Attribute(attr="join"), args=[inner, *_]):
            return _named(inner)
        case ast.Call(args=[inner, *_]):
            return _named(inner)
        case ast.Call(func=inner):
            return _named(inner)
        case ast.Subscript(value=inner) | ast.Starred(value=inner) | ast.BinOp(left=inner):
            return _named(inner)
    return "value"


def _parted(text: str) -> tuple[str, str]:
    """The message up to its semicolon or full stop, and what follows: by the house rule, the way out."""
    found = re.search(rf"[;.] |: (?=(?:{'|'.join(ADVICE)})\b)", text)
    return (text[: found.start()], text[found.end() :]) if found else (text, "")
