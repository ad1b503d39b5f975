"""Whether a published model and its CLIP can be had, found without downloading its weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from spf_core.errors import RunError
from spf_plugins.backbones.hub import refuse_missing, safetensors
from spf_plugins.backbones.layouts import Layout
from spf_plugins.backbones.loading import INDEX, check_folder

if TYPE_CHECKING:
    from spf_plugins.backbones import Published

SECONDS = 10.0


def look(config: "Published", layout: Layout) -> str:
    """Where the pipeline comes from; RunError when it cannot be had."""
    place = Path(config.path)
    if place.is_dir():
        inside = place / "clip"
        check_folder(layout, place, inside if inside.is_dir() else place)
        return f"folder '{place}'"
    if place.is_file():
        return f"file '{safetensors(place)}'"
    refuse_missing("path", config.path)
    return _on_hub("path", config.path, config.revision, INDEX)


def look_for_clip(config: "Published") -> str:
    """Where the CLIP model comes from, which the pipeline does not bring; RunError when it cannot be had."""
    inside, place = Path(config.path) / "clip", Path(config.clip)
    if inside.is_dir():
        return f"folder '{inside}'"
    if place.is_dir():
        return f"folder '{place}'"
    refuse_missing("clip", config.clip)
    return _on_hub("clip", config.clip, None, "config.json", size=config.clip_size)


def _on_hub(option: str, place: str, revision: str | None, file: str, size: str = "") -> str:
    """Where `file` of the model lies: it stands for the rest, and is small. `size` is that of a download."""
    amount = f", {size}" if size else ""
    try:
        if isinstance(try_to_load_from_cache(place, file, revision=revision), str):
            return f"'{place}' in the hub's cache"
        get_hf_file_metadata(hf_hub_url(place, file, revision=revision), timeout=SECONDS)
    except Exception as error:  # of the client, its transport or the operating system
        reason = " ".join(str(error).split())[:100]
        raise RunError(
            f"backbone.{option}: '{place}'{amount} is no folder here, and the hub does not give it "
            f"({type(error).__name__}: {reason}); set backbone.{option} to a local folder, go online, or, "
            "for a model with terms to accept, run hf auth login"
        ) from None
    return f"'{place}' on the hub{amount}, which training downloads"
