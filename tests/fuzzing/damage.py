"""Damage to sound input: to what is in a file, to its bytes, to the folder it lies in, to arguments."""

import io
import json
import os
import random
import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from fuzzing import values

Json = Any
Damage = Callable[[random.Random, Path], None]


class Raw(str):
    """Text that is written as it stands, where a value or a key would be."""


def damage_file(rng: random.Random, file: Path) -> None:
    """Damage what the file says two times of three, else its bytes, its encoding or its place."""
    content = _STRUCTURED.get(file.suffix) if file.is_file() else None
    way = rng.random()
    if content and way < 0.65:
        try:
            content(rng, file)
        except Exception:  # a second damage cannot read what the first has left
            damage_bytes(rng, file)
    elif way < 0.88:
        damage_bytes(rng, file)
    else:
        damage_place(rng, file)


def damage_bytes(rng: random.Random, file: Path) -> None:
    """Truncate, flip, insert, delete, repeat, blank, replace by other content or another encoding."""
    found = file.read_bytes() if file.is_file() else b""
    at, end = sorted((_somewhere(rng, found), _somewhere(rng, found)))
    piece = rng.choice(values.BYTES)
    text = found.decode("utf-8", "replace")
    ways: Sequence[Callable[[], bytes]] = (
        lambda: found[:at],
        lambda: _flipped(rng, found),
        lambda: found[:at] + piece + found[at:],
        lambda: found[:at] + piece * rng.choice((2, 1000)) + found[at:],
        lambda: found[:at] + found[end:],
        lambda: found[:end] + found[at:end] + found[end:],
        lambda: found[:at] + bytes(end - at) + found[end:],
        lambda: found + found,
        lambda: text.encode(rng.choice(values.ENCODINGS)),
        lambda: text.encode("latin-1", "replace"),
        lambda: found.replace(b"\n", b"\r\n"),
        lambda: rng.choice(values.FILES),
        lambda: rng.choice(values.FILES),
    )
    _replace(file, rng.choice(ways)())


def damage_place(rng: random.Random, file: Path) -> None:
    """Put a folder, a link, a pipe or nothing in the file's place, or another name on it."""
    around = file.parent
    name = rng.choice(values.FILE_NAMES)
    others = [other for other in sorted(around.iterdir()) if other.is_file() and other != file]

    def folder() -> None:
        file.mkdir()

    def linked_to(target: str) -> Callable[[], None]:
        return lambda: file.symlink_to(target)

    def deep() -> None:
        file.joinpath(*"d" * 60).mkdir(parents=True)

    def renamed() -> None:
        other = name if rng.random() < 0.5 else name[:200] + os.fsencode(file.suffix)
        (around / os.fsdecode(other)).write_bytes(kept)

    def swapped() -> None:
        file.write_bytes(rng.choice(others).read_bytes() if others else b"")

    def unreadable() -> None:
        file.write_bytes(kept)
        file.chmod(0)

    ways = (
        folder,
        linked_to(file.name),
        linked_to("gone"),
        linked_to("."),
        linked_to("../../outside/bait"),
        deep,
    )
    ways += (lambda: os.mkfifo(file), renamed, swapped, unreadable, lambda: None)
    kept = file.read_bytes() if file.is_file() else b""
    remove(file)
    rng.choice(ways)()


def damage_tree(rng: random.Random, tree: Json, table: Sequence[str]) -> Json:
    """Change one to three places of a tree of mappings and lists, anywhere in it."""
    root = [tree]
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        places = list(_places(root))
        _change(rng, *rng.choice(places), places, Raw(rng.choice(table)))
    return root[0]


def as_json(value: Json) -> str:
    """The tree as JSON, with what is `Raw` in it."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_json(key)}: {as_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return json.dumps(value)


def as_yaml(value: Json) -> str:
    """The tree as YAML: keys on lines of their own, what is below them in flow style."""
    if not isinstance(value, dict):
        return as_json(value) + "\n"
    return "".join(
        f"{key if isinstance(key, Raw) else as_json(key)}: {as_json(item)}\n" for key, item in value.items()
    )


def damage_arguments(rng: random.Random, arguments: Sequence[str]) -> list[str]:
    """Replace, repeat or insert one argument or two; the command itself stays."""
    damaged = list(arguments)
    for _ in range(rng.choice((1, 1, 1, 2))):
        at = rng.randrange(1, len(damaged))
        hostile = rng.choice(
            (
                *values.NAMES,
                *values.NUMBERS,
                *(f"x={value}" for value in values.NAMES[:12]),
                "--",
                "--zz",
                "-q",
            )
        )
        hostile = _passable(hostile)
        way = rng.randrange(6)
        if way == 0:
            damaged.insert(at, hostile)
        elif way == 1:
            damaged.insert(at, damaged[at])
        elif way == 2 and not damaged[at].startswith("--"):
            damaged[at] += hostile
        elif not damaged[at].startswith("--"):
            damaged[at] = hostile
        else:
            damaged.insert(at + 1, hostile)
    return damaged


def damaged_assignment(rng: random.Random, keys: Sequence[str]) -> str:
    """A `KEY=VALUE` for `--set`: a hostile value of a key that there is, now and then a hostile key."""
    key = rng.choice(keys) if rng.random() < 0.8 else rng.choice(values.KEYS)
    value = rng.choice((*values.YAML, *values.NUMBERS, *values.NAMES))
    return _passable(key + ("" if rng.random() < 0.03 else "=") + value)


def remove(path: Path) -> None:
    """Delete whatever is there."""
    if path.is_dir() and not path.is_symlink():
        for below in path.iterdir():
            remove(below)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _passable(argument: str) -> str:
    """What the system can pass to a program: no NUL, at most 128 kB, and half characters as bytes only."""
    return argument.replace("\0", "").replace("\ud83d", "\udcf0")[:100_000]


def _somewhere(rng: random.Random, found: bytes) -> int:
    """A place that does not depend on how long paths inside the file are: often near an end."""
    return int(len(found) * rng.choice((rng.random(), rng.random() ** 4, 1 - rng.random() ** 4)))


def _flipped(rng: random.Random, found: bytes) -> bytes:
    changed = bytearray(found)
    for _ in range(rng.choice((1, 1, 8, 100)) if changed else 0):
        changed[min(_somewhere(rng, found), len(found) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _replace(file: Path, content: bytes) -> None:
    remove(file)
    file.write_bytes(content)


def _places(tree: Json) -> Iterator[tuple[Any, Any]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, item in list(pairs):
        yield tree, key
        yield from _places(item)


def _change(
    rng: random.Random, holder: Any, key: Any, places: Sequence[tuple[Any, Any]], hostile: Raw
) -> None:
    way = rng.random()
    if way < 0.6 or not isinstance(holder, dict):
        holder[key] = hostile
    elif way < 0.7:
        del holder[key]
    elif way < 0.75:
        holder[Raw(as_json(key))] = hostile if rng.random() < 0.5 else holder[key]
    elif way < 0.82:
        holder[Raw(json.dumps(rng.choice(values.NAMES)))] = holder.pop(key)
    elif way < 0.87:
        holder[Raw(json.dumps(rng.choice(values.NAMES)))] = hostile
    elif way < 0.93:
        holder[key] = [holder[key]]
    else:
        other, there = rng.choice(places)
        holder[key] = Raw(as_json(other[there]))  # a copy: a tree that holds itself cannot be written


def _json(rng: random.Random, file: Path) -> None:
    tree = json.loads(file.read_text(encoding="utf-8"))
    _replace(file, as_json(damage_tree(rng, tree, values.JSON)).encode("utf-8", "surrogatepass"))


def _json_lines(rng: random.Random, file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    at = rng.randrange(len(lines))
    lines[at] = as_json(damage_tree(rng, json.loads(lines[at]), values.JSON))
    if rng.random() < 0.1:
        lines.insert(at, rng.choice(values.JSON))
    _replace(file, "\n".join(lines).encode("utf-8", "surrogatepass"))


def _yaml(rng: random.Random, file: Path) -> None:
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    _replace(file, as_yaml(damage_tree(rng, tree, values.YAML)).encode("utf-8", "surrogatepass"))


def _csv(rng: random.Random, file: Path) -> None:
    lines = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines()]
    for _ in range(rng.choice((1, 1, 2))):
        row = rng.choice(lines)
        cell = rng.choice((*values.NAMES, '"', '"a', 'a"b', '""', "a;b", "a\tb", *values.NUMBERS))
        row[rng.randrange(len(row))] = cell if rng.random() < 0.7 else f'"{cell}"'
    _replace(file, "\n".join(map(",".join, lines)).encode("utf-8", "surrogatepass"))


def _text(rng: random.Random, file: Path) -> None:
    words = file.read_text(encoding="utf-8").split(" ")
    words[rng.randrange(len(words))] = rng.choice(values.NAMES)
    _replace(file, " ".join(words).encode("utf-8", "surrogatepass"))


def _archive(rng: random.Random, file: Path) -> None:
    """Damage a file inside, or its name or kind."""
    with tarfile.open(file) as tar:
        held = [(member, content.read()) for member in tar if (content := tar.extractfile(member))]
    at = rng.randrange(len(held))
    member, content = held[at]
    if member.name.endswith(".json") and rng.random() < 0.7:
        content = as_json(damage_tree(rng, json.loads(content), values.JSON)).encode("utf-8", "surrogatepass")
    elif rng.random() < 0.5:
        member.name = rng.choice(("", "a", "../x", "/x", "hat", "hat/spf/seed-9/record.json", "a" * 300))
    else:
        member.type = rng.choice((tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE))
    member.size, held[at] = len(content), (member, content)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz", preset=0) as tar:
        for each, inside in held:
            tar.addfile(each, io.BytesIO(inside))
    _replace(file, stream.getvalue())


def _safetensors(rng: random.Random, file: Path) -> None:
    """Damage the header's tree or its length, or the numbers."""
    found = file.read_bytes()
    end = 8 + struct.unpack("<Q", found[:8])[0]
    header, body, way = json.loads(found[8:end]), found[end:], rng.random()
    if way < 0.25:
        number = rng.choice((float("nan"), float("inf"), 1e38, 0.0))
        at = min(_somewhere(rng, body), max(len(body) - 4, 0)) // 4 * 4
        body = body[:at] + struct.pack("<f", number) + body[at + 4 :]
    elif way < 0.6 and isinstance(header.get("__metadata__"), dict):
        told = header["__metadata__"]
        name = rng.choice(sorted(told))
        told[name] = rng.choice((json.dumps(rng.choice(values.NAMES)), json.dumps(rng.choice(values.JSON))))
        told[name] = Raw(told[name]) if rng.random() < 0.8 else Raw(rng.choice(values.JSON))
    else:
        header = damage_tree(rng, header, values.JSON)
    text = as_json(header).encode("utf-8", "surrogatepass")
    length = len(text) if rng.random() < 0.9 else rng.choice((0, 1, 2**31, 2**63, 2**64 - 1))
    _replace(file, struct.pack("<Q", length) + text + body)


def _picture(rng: random.Random, file: Path) -> None:
    """Another size in the header, another kind of picture, or none."""
    from PIL import Image

    found = file.read_bytes()
    if rng.random() < 0.4 and found[:8] == b"\x89PNG\r\n\x1a\n":
        side = rng.choice((0, 1, 2, 40_000, 2**31 - 1, 2**32 - 1))
        content = found[:16] + struct.pack(">II", side, rng.choice((side, 1, 32))) + found[24:]
    else:
        stream = io.BytesIO()
        mode, kind = rng.choice(
            (
                ("1", "PNG"),
                ("P", "GIF"),
                ("CMYK", "TIFF"),
                ("F", "TIFF"),
                ("I;16", "PNG"),
                ("LA", "PNG"),
                ("L", "PPM"),
            )
        )
        Image.new(mode, rng.choice(((1, 1), (1, 3000), (33, 17)))).save(stream, kind)
        content = stream.getvalue()
    _replace(file, content)


def _python(rng: random.Random, file: Path) -> None:
    """What a plugin may do wrong at the places that the specimen marks with comments."""
    text = file.read_text(encoding="utf-8")
    marks = [line for line in text.splitlines() if "  # or" in line]
    line = rng.choice(marks)
    indent = line[: len(line) - len(line.lstrip())]
    _replace(file, text.replace(line, indent + rng.choice(STATEMENTS)).encode("utf-8", "surrogatepass"))


STATEMENTS = (
    "raise ValueError('x' * 100000)",
    "raise SystemExit(0)",
    "raise KeyError",
    "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
    "raise BaseException('\\x1b[31m')",
    "import no_such_module",
    "from spf_core import no_such_name",
    "def f(): return f()\n    f()",
    "x = (",
    "return None",
    "return 5",
    "return [None]",
    "return [int]",
    "return {'a': 1}",
    "return ['a' * 100000]",
    "return (1 / 0 for _ in range(3))",
    "name = None",
    "name = 5",
    "name = ''",
    "name = '../x'",
    "name = '\\x1b[31m'",
    "name = 'x' * 100000",
    "name = 'text-consistency'",
    "name = 'a b'",
    "needs = None",
    "needs = 5",
    "needs = frozenset({'no such need'})",
    "needs = frozenset({5})",
    "weight: str = 'heavy'",
    "weight = None",
    "option: 'NoSuchType' = 1",
    "option: object",
    "option: int = 'five'",
    "option: float = float('nan')",
    "model_config = 5",
    "kind = 'nothing'",
    "__doc__ = None",
    "__doc__ = 5",
    "pass",
    "",
)
_STRUCTURED: dict[str, Damage] = {
    ".json": _json,
    ".jsonl": _json_lines,
    ".yaml": _yaml,
    ".csv": _csv,
    ".txt": _text,
    ".xz": _archive,
    ".safetensors": _safetensors,
    ".png": _picture,
    ".py": _python,
}
