"""`score.json`: which files were scored, with which settings; no place of the user's machine stands in it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spf_core import __version__
from spf_core.errors import RunError
from spf_core.utils.atomic import atomic_write_text
from spf_core.utils.json_text import read_json
from spf_core.utils.private import LOCAL, public
from spf_core.utils.validation import explain
from spf_lab.scoring.sources import Kind

RECORD = "score.json"
_NAME = r"^[^/\\\x00]+$"


class _Saved(BaseModel):
    """A part of the record. What a later version adds is not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Scored(_Saved):
    """One file: its own name, hash and kind, how it was applied, and why it failed, if it did."""

    file: str = Field(pattern=_NAME)
    kind: Kind
    sha256: str
    strength: float
    handover: float | None = None
    failed: str | None = None


class Record(_Saved):
    """The files by the names of their folders. Equal settings have equal hashes."""

    spf_version: str = __version__
    kind: Literal["score"] = "score"
    target: str
    settings: dict[str, Any]
    settings_hash: str
    files: dict[str, Scored] = {}

    @property
    def finished(self) -> list[str]:
        """Names of the files that have numbers."""
        return [name for name, each in self.files.items() if each.failed is None]

    def write(self, folder: Path) -> None:
        """Write the record into its folder."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False)
        atomic_write_text(folder / RECORD, text + "\n")


def new_record(target: str, settings: Mapping[str, Any]) -> Record:
    """A record without files; `settings` are plain values, and their places stay out of it."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    shown = {**public(dict(settings)), "data": None if settings.get("data") is None else LOCAL}
    return Record(target=target, settings=shown, settings_hash=digest)


def read_record(folder: Path) -> Record:
    """The record of a folder; RunError when it is damaged."""
    try:
        record = Record.model_validate(read_json(folder / RECORD))
        for name in record.files:
            if name in (".", "..") or "/" in name or "\\" in name or "\x00" in name:
                raise ValueError(f"'{name}' is no name of a folder")
    except ValidationError as error:
        raise _damaged(folder, explain(error, "", Record)) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, str(error)) from None
    return record


def _damaged(folder: Path, reason: str) -> RunError:
    return RunError(f"'{folder / RECORD}' is damaged ({reason}); score the files again into another --out")
