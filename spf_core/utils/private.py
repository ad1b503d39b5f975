"""Settings and messages without the places of this machine, for what is passed on to others. Torch-free.

That is weights, checkpoints, pictures, results and pages; `config.yaml` and `provenance.json` keep paths.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL = "(local)"
# A quoted path may hold spaces; an unquoted one begins with /, ~ or a drive and ends at a space.
_QUOTED = re.compile(r"(['\"`])(?=[/~\\]|[A-Za-z]:[/\\])([^'\"`\n]+)\1")
_BARE = re.compile(r"(?<![\w:/\\.<])(?:~|[A-Za-z]:)?[/\\][^\s'\"`,;)]+")


def public(value: Any) -> Any:
    """Plain values without places; of `KEY=PLACE` the key stays."""
    if isinstance(value, Mapping):
        return {name: public(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [public(each) for each in value]
    if not isinstance(value, str):
        return value
    setting, sign, given = value.partition("=")
    if sign and re.fullmatch(r"[\w.-]+", setting):
        return f"{setting}={public(given)}"
    return LOCAL if is_local(value, names_a_place=False) else value


def is_local(text: str, *, names_a_place: bool) -> bool:
    """Whether a setting is a file or folder of this machine, rather than a hub id or a word."""
    rooted = text.startswith(("/", "~", ".")) or "\\" in text or text.count("/") > 1
    return rooted or text.endswith(".py") or ((names_a_place or "/" in text) and Path(text).exists())


def without_places(message: str) -> str:
    """A message with every absolute path reduced to its last part."""
    quoted = _QUOTED.sub(lambda found: f"{found[1]}{_last(found[2])}{found[1]}", message)
    return _BARE.sub(lambda found: _last(found[0]), quoted)


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
