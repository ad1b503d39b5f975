"""Paths as users give them: `~` is the home folder, and a run's start where it was started. Torch-free.

A configuration is saved with its paths as they were given, so that it can be passed on. Only what opens them
sees the places that they mean.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, SerializationInfo
from pydantic_core import CoreSchema, core_schema

from spf_core.errors import ConfigError, RunError, quoted

MOVABLE = (
    "data",
    "backbone.path",
)  # may differ when a run goes on: what lies there is compared with the run's
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_started_in: ContextVar[str | None] = ContextVar("started_in", default=None)


def expanded(text: str) -> str:
    """The path with the home folder in place of `~` or `~user`; ConfigError when nobody has that name."""
    found = os.path.expanduser(text)  # noqa: PTH111 - of a text, which pathlib would change
    if text.startswith("~") and found == text and not Path(text).exists():
        raise ConfigError(f"{quoted(text)} names no home folder; give the path in full, or ./ before it")
    return found


@contextmanager
def starting_in(folder: str | None) -> Iterator[None]:
    """Within the context relative paths of configurations start from `folder`, where one is given."""
    current = folder is None or (Path(folder).is_dir() and Path(folder).samefile(Path()))
    token = _started_in.set(None if current else folder)
    try:
        yield
    finally:
        _started_in.reset(token)


class UserPath(str):
    """The type of an option that is a path. Its text is the place to open.

    `given` is what the user wrote, and what is saved. `started_in` is the folder that it starts from, where
    that is not the current one.
    """

    __slots__ = ("given", "started_in")
    given: str
    started_in: str | None

    def __new__(cls, given: str) -> "UserPath":
        """ConfigError as of `expanded`."""
        place, start = expanded(given), _started_in.get()
        absolute = Path(start or "", place)
        if start is None or absolute == Path(place) or not cls._starts_from(absolute, place):
            start = None
        path = super().__new__(cls, place if start is None else str(absolute))
        path.given, path.started_in = given, start
        return path

    @classmethod
    def _starts_from(cls, absolute: Path, place: str) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (type(self), str(self), self.given, self.started_in)

    def seen_from(self, folder: str) -> str:
        """What the user would have written in a run that was started in `folder`."""
        here = self.started_in or str(Path.cwd())
        same = here == folder or (Path(self).is_absolute() and self.started_in is None)
        return self.given if same or self.given.startswith("~") else str(Path(self).absolute())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A string. It is saved as it was given; with the context `started_in`, as seen from there."""
        return core_schema.no_info_wrap_validator_function(
            cls._validated,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(_saved, info_arg=True),
        )

    @classmethod
    def _validated(cls, value: Any, handler: Any) -> "UserPath":
        if isinstance(value, cls):
            return value
        try:
            return cls(handler(str(value) if isinstance(value, Path) else value))
        except ConfigError as error:
            raise ValueError(str(error)) from None


class HubPath(UserPath):
    """The type of an option that is a path or an id of the Hugging Face hub, `owner/name`."""

    __slots__ = ()

    @classmethod
    def _starts_from(cls, absolute: Path, place: str) -> bool:
        return absolute.exists() or not _HUB_ID.fullmatch(place)

    def seen_from(self, folder: str) -> str:
        """As of UserPath; a hub id is the same everywhere."""
        return self.given if not Path(self).exists() else super().seen_from(folder)


def _copied(kind: type[UserPath], text: str, given: str, start: str | None) -> UserPath:
    path = str.__new__(kind, text)
    path.given, path.started_in = given, start
    return path


def _saved(value: str, info: SerializationInfo) -> str:
    if not isinstance(value, UserPath):
        return value
    folder = (info.context or {}).get("started_in")
    return value.given if folder is None else value.seen_from(folder)


def refuse_lost(path: str | None, option: str) -> None:
    """RunError when a relative path of a run leads nowhere from the folder that the run was started in."""
    if isinstance(path, UserPath) and path.started_in and not Path(path).exists():
        named = f"; --resume takes --set {option}=PLACE, too" if option in MOVABLE else ""
        raise RunError(
            f"{option}: '{path}' does not exist. The run was started in '{path.started_in}' with "
            f"'{path.given}'. Put it there, or set started_in in the run's provenance.json to the folder "
            f"that '{path.given}' is in now{named}"
        )


def refuse_lost_options(config: BaseModel, place: str) -> None:
    """The same for every option of a component."""
    for name in type(config).model_fields:
        refuse_lost(getattr(config, name), f"{place}.{name}")


def cache_folder() -> Path:
    """$SPF_CACHE, or ~/.cache/spf."""
    chosen = os.environ.get("SPF_CACHE")
    return Path(expanded(chosen)) if chosen else Path.home() / ".cache" / "spf"
