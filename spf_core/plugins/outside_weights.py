"""Weights of judges and scores: from an option, $SPF_METRICS_HOME, or the hub when allowed. Torch-free."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from spf_core.errors import RunError, Unavailable
from spf_core.plugins.configs import ScoreConfig
from spf_core.utils.paths import UserPath, expanded
from spf_core.utils.special_files import refuse_special
from spf_core.utils.validation import Strict

HOME = "SPF_METRICS_HOME"
CONVERTED_FROM = "converted_from"  # in the metadata of files that this project converted
SUFFIX = ".safetensors"
_DOWNLOADED = ("*.safetensors", "*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class Weights:
    """Weights on this machine: a folder in transformers' format, or one safetensors file."""

    path: Path
    source: str  # hub id, or the path itself
    revision: str | None = None  # the hub's commit

    @property
    def files(self) -> list[Path]:
        """Its safetensors files."""
        return sorted(self.path.glob(f"*{SUFFIX}")) if self.path.is_dir() else [self.path]

    @property
    def folder(self) -> Path:
        """The folder in transformers' format; Unavailable when it is a file."""
        if not self.path.is_dir():
            raise Unavailable(
                f"'{self.path}' is a file; give a folder with config.json and tokenizer or processor"
            )
        return self.path

    @property
    def file(self) -> Path:
        """The only file; Unavailable when there are none or several."""
        if len(self.files) != 1 or self.files[0].suffix != SUFFIX:
            raise Unavailable(
                f"'{self.path}' holds {len(self.files)} {SUFFIX} files; give a folder with one, or the file"
            )
        return self.files[0]

    def provenance(self, **settings: Any) -> dict[str, Any]:
        """What is recorded: source, revision and the SHA-256 of every weights file, and `settings`.

        Of a place on this machine the name alone: the hashes say what it was.
        """
        from spf_core.utils.private import is_local

        def named(value: Any) -> Any:
            local = isinstance(value, str) and is_local(value, names_a_place=False)
            return Path(value).name if local else value

        hashes = {file.name: sha256(file) for file in self.files}
        origin = {CONVERTED_FROM: found} if (found := self._origin()) else {}
        own = {name: named(value) for name, value in settings.items()}
        source = self.path.name if self.source == str(self.path) else self.source
        return {"model": source, "revision": self.revision, "sha256": hashes, **origin, **own}

    def _origin(self) -> str | None:
        """Upstream's file and hash, when this project converted it."""
        from safetensors import SafetensorError, safe_open

        try:
            refuse_special(self.files[0])
            with safe_open(self.files[0], framework="numpy") as opened:
                origin: str | None = (opened.metadata() or {}).get(CONVERTED_FROM)
        except (SafetensorError, OSError) as error:
            raise RunError(f"'{self.files[0]}' is no safetensors file ({error}); fetch it again") from None
        return origin


class OutsideWeights(Strict):
    """Options that say where the weights of one network are, which is not part of this project."""

    hub: ClassVar[str | None] = None  # the usual model's id there; None when it is not kept as safetensors
    licence: ClassVar[str] = ""  # of the usual weights

    path: UserPath | None = Field(None, description="Folder or .safetensors file of the weights.")
    model: str | None = Field(None, description="Hub id. By default, that of the usual model.")
    revision: str | None = Field(None, description="Commit, tag or branch on the hub.")
    allow_download: bool = Field(
        False, description="Download weights from the hub when they are not on disk."
    )

    @property
    def place(self) -> str:
        """What these options are called in `--set`."""
        raise NotImplementedError

    @property
    def weights_name(self) -> str:
        """What the weights are called in $SPF_METRICS_HOME."""
        raise NotImplementedError

    def missing(self) -> str | None:
        """Why the weights cannot be had; None when they are there, or may be fetched."""
        try:
            found = self._on_disk()
        except Unavailable as absent:
            return str(absent)
        fetchable = self.allow_download and self._hub_id is not None
        return None if found or fetchable else self._way_out()

    def locate(self) -> Weights:
        """Option `path`, then $SPF_METRICS_HOME/NAME, then the hub with `allow_download`; or Unavailable."""
        found = self._on_disk()
        if found is None and self.allow_download and self._hub_id:
            found = _download(self._hub_id, self.revision)
        if found is None:
            raise Unavailable(self._way_out())
        if not found.files:
            raise Unavailable(f"'{found.path}' holds no {SUFFIX} file; give a folder that does")
        return found

    @property
    def _hub_id(self) -> str | None:
        return self.model or self.hub

    def _on_disk(self) -> Weights | None:
        if self.path is not None:
            if not Path(self.path).exists():
                raise Unavailable(
                    f"{self.place}.path '{self.path}' does not exist; set it to where the weights are"
                )
            return Weights(Path(self.path), self.path)
        home = expanded(os.environ.get(HOME, ""))
        for name in (self.weights_name, f"{self.weights_name}{SUFFIX}") if home and not self.model else ():
            place = Path(home) / name
            if place.exists():
                return Weights(place, str(place))
        return None

    def _way_out(self) -> str:
        ways = [f"--set {self.place}.path=FOLDER", f"${HOME}/{self.weights_name}"]
        if self._hub_id:
            ways.append(f"--set {self.place}.allow_download=true for '{self._hub_id}'")
        return f"no weights '{self.weights_name}'; give them with {' or '.join(ways)}"


class WeightedScoreConfig(OutsideWeights, ScoreConfig):
    """A score whose network is not part of this project."""

    @property
    def place(self) -> str:
        """The score's name."""
        return self.name

    @property
    def weights_name(self) -> str:
        """What the weights are called in $SPF_METRICS_HOME."""
        return self.weights or self.name


def sha256(file: Path) -> str:
    """The file's SHA-256 as 64 hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _download(model: str, revision: str | None) -> Weights:
    """The hub's snapshot; with HF_HUB_OFFLINE only what its cache holds."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(model, revision=revision, allow_patterns=list(_DOWNLOADED)))
    except Exception as error:  # the hub's errors have no common base
        reason = " ".join(str(error).split())[:160]
        raise Unavailable(
            f"'{model}' cannot be had from the hub ({type(error).__name__}: {reason}); "
            "download it elsewhere, and set the option path to its folder"
        ) from None
    return Weights(folder, model, folder.name)
