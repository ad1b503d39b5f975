"""Where a published model lies on this disk: in a folder, or in the cache of the hub's client."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from spf_core.errors import RunError
from spf_plugins.backbones.layouts import Layout

if TYPE_CHECKING:
    from spf_plugins.backbones import Published

_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".bin")
CLIP_FILES = ("*.json", "*.txt", "*.safetensors")


def find(config: "Published", layout: Layout) -> tuple[Path, Path]:
    """Folders of the pipeline (or its single file) and of CLIP; RunError when they cannot be had.

    Hub ids are downloaded.

    Weights come as safetensors alone: other formats are never downloaded.
    """
    parts = [f"{name}/{pattern}" for name in layout.components for pattern in ("*.json", "*.txt")]
    weights = f"*.{config.variant}*.safetensors" if config.variant else "*.safetensors"
    wanted = ["model_index.json", *parts, *(f"{name}/{weights}" for name in layout.networks)]
    unwanted = () if config.variant else ("*.fp16.safetensors", "*.non_ema.safetensors")
    if Path(config.path).is_file():
        folder = safetensors(Path(config.path))
    else:
        folder = _folder("path", config.path, config.revision, wanted, unwanted)
    inside = folder / "clip"
    return folder, inside if inside.is_dir() else _folder("clip", config.clip, None, CLIP_FILES, ())


def refuse_missing(option: str, place: str) -> None:
    """RunError when `place`, which is no folder here, can only be meant as one: no hub id looks like it."""
    if Path(place).exists():
        raise RunError(f"backbone.{option}: '{place}' is no folder; set backbone.{option} to one")
    if place.startswith(("/", ".")) or place.endswith(_WEIGHTS) or place.count("/") > 1 or "\\" in place:
        raise RunError(
            f"backbone.{option}: '{place}' does not exist; set backbone.{option} to an existing folder or to "
            "a hub id such as OWNER/NAME"
        )


def safetensors(file: Path) -> Path:
    """The file; RunError when it is of another format."""
    if file.suffix != ".safetensors":
        raise RunError(
            f"backbone.path: '{file}' is no .safetensors file, and other formats can run code when they are "
            "read; convert it, or choose a file that is"
        )
    return file


def _folder(
    option: str, place: str, revision: str | None, wanted: Sequence[str], unwanted: Sequence[str]
) -> Path:
    if Path(place).is_dir():
        return Path(place)
    refuse_missing(option, place)
    try:
        return Path(
            snapshot_download(
                place, revision=revision, allow_patterns=list(wanted), ignore_patterns=list(unwanted)
            )
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise RunError(
            f"backbone.{option}: '{place}' is no folder here, and the hub does not give it "
            f"({type(error).__name__}: {reason}); set backbone.{option} to a local folder"
        ) from None
