"""Whether a published model can be had, found without downloading its weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from spf_core.errors import RunError
from spf_plugins.backbones.hub import safetensors
from spf_plugins.backbones.layouts import Layout
from spf_plugins.backbones.loading import INDEX, check_folder

if TYPE_CHECKING:
    from spf_plugins.backbones import Published

SECONDS = 10.0


def look(config: "Published", layout: Layout) -> str:
    """Where the pipeline and CLIP come from; RunError when one of them cannot be had."""
    place = Path(config.path)
    if place.is_dir():
        inside = place / "clip"
        check_folder(layout, place, inside if inside.is_dir() else place)
        found = f"folder '{place}'"
        if inside.is_dir():
            return f"{found}, CLIP inside"
    elif place.is_file():
        found = f"file '{safetensors(place)}'"
    else:
        found = _on_hub("path", config.path, config.revision, INDEX)
    clip = Path(config.clip)
    if clip.is_dir():
        return f"{found}; CLIP in '{clip}'"
    return f"{found}; CLIP {_on_hub('clip', config.clip, None, 'config.json')}"


def _on_hub(option: str, place: str, revision: str | None, file: str) -> str:
    """Where `file` of the model lies: it stands for the rest, and is small."""
    try:
        if isinstance(try_to_load_from_cache(place, file, revision=revision), str):
            return f"'{place}' in the hub's cache"
        get_hf_file_metadata(hf_hub_url(place, file, revision=revision), timeout=SECONDS)
    except Exception as error:  # of the client, its transport or the operating system
        reason = " ".join(str(error).split())[:100]
        raise RunError(
            f"backbone.{option}: '{place}' is no folder here, and the hub does not give it "
            f"({type(error).__name__}: {reason}); set backbone.{option} to a local folder, go online, or, "
            "for a model with terms to accept, run hf auth login"
        ) from None
    return f"'{place}' on the hub"
