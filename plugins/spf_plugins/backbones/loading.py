"""Loading a folder of a Stable Diffusion pipeline with every failure as one line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
)
from transformers import (
    CLIPModel,
)

from spf_core.errors import RunError, quoted, short
from spf_core.export.published import settings_of
from spf_core.runs.pretrained import blaming, load, load_network, quiet
from spf_core.utils.json_text import read_json
from spf_plugins.backbones.layouts import Layout, kept_dtype
from spf_plugins.backbones.single_file import load_single_file
from spf_plugins.backbones.soundness import refuse_unsound, refuse_unsound_statistics

INDEX = "model_index.json"
_HASHED = ("*.safetensors", "tokenizer.json", "vocab.json", "merges.txt", "scheduler_config.json")


@dataclass(frozen=True)
class Parts:
    """Networks (frozen, in evaluation mode), tokenizers and scheduler; CLIP and its statistics.

    `index` is the folder's model_index.json.
    """

    named: Mapping[str, Any]
    index: Mapping[str, Any]
    clip: Any
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]


def load_parts(
    layout: Layout,
    folder: Path,
    clip_folder: Path,
    variant: str | None = None,
    dtype: torch.dtype = torch.float32,
    settings: Path | None = None,
) -> Parts:
    """Load every part, the networks in `dtype`; RunError names the first that is missing or damaged.

    `folder` may be a single file; `settings` are then those of its model, by default the packaged ones.
    """
    with quiet():
        if folder.is_file():
            if not layout.single_files:
                raise RunError(
                    f"backbone.path: '{folder}' is a single file, and a {layout.pipeline} is read from a "
                    "folder in diffusers' layout alone; set backbone.path to one"
                )
            index = _index(settings or settings_of(layout.name))
            named = load_single_file(layout, folder, clip_folder, dtype, settings)
        else:
            index = check_folder(layout, folder, clip_folder)
            named = _load_folder(layout, folder, variant, dtype)
        mean, std = _image_statistics(clip_folder)
        place = folder if folder.is_file() else folder / "scheduler"
        refuse_unsound(named, folder if settings is None else settings, layout.denoiser)
        return Parts(
            named={**named, "scheduler": _usable(named["scheduler"], place)},
            index=index,
            clip=load_network(CLIPModel, clip_folder, dtype),
            image_mean=mean,
            image_std=std,
        )


def _load_folder(layout: Layout, folder: Path, variant: str | None, dtype: torch.dtype) -> dict[str, Any]:
    networks = {
        name: load_network(cls, folder / name, kept_dtype(name, dtype), variant=variant)
        for name, cls in layout.networks.items()
    }
    tokenizers = {name: load(cls, folder / name) for name, cls in layout.tokenizers.items()}
    return {**networks, **tokenizers, "scheduler": load(layout.scheduler, folder / "scheduler")}


def make_pipeline(layout: Layout, parts: Mapping[str, Any], **settings: Any) -> Any:
    """The layout's pipeline over the given parts, without safety checker, watermark or progress bar."""
    with quiet():
        import diffusers

        pipeline = getattr(diffusers, layout.pipeline)(**parts, **layout.settings, **settings)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fingerprint(layout: Layout, folder: Path, clip_folder: Path) -> str:
    """SHA-256 (first 16 hex digits) over weights, tokenizers and noise schedule, or over a single file."""
    digest = hashlib.sha256()
    if folder.is_file():
        places = {"clip": clip_folder}
        digest.update(_sha256(folder))
    else:
        places = {**{name: folder / name for name in layout.components}, "clip": clip_folder}
    for name, place in places.items():
        for file in sorted({file for pattern in _HASHED for file in place.glob(pattern)}):
            digest.update(f"{name}/{file.name}".encode())
            digest.update(_sha256(file))
    return digest.hexdigest()[:16]


def _sha256(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def check_folder(layout: Layout, folder: Path, clip_folder: Path) -> dict[str, Any]:
    """What model_index.json says; RunError when a part is missing or the folder is another pipeline's."""
    way_out = f"set backbone.path to a complete {layout.pipeline} folder with clip/ inside"
    if not folder.is_dir():
        raise RunError(f"backbone folder '{folder}' does not exist; {way_out}")
    if not (folder / INDEX).is_file():
        raise RunError(f"backbone folder '{folder}' has no {INDEX}; {way_out}")
    index = _index(folder)
    if index.get("_class_name") != layout.pipeline:
        found = short(str(index.get("_class_name")))
        raise RunError(f"backbone folder '{folder}' holds a {found}; {way_out}")
    for part in (*(folder / name for name in layout.components), clip_folder):
        if not part.is_dir():
            raise RunError(f"backbone component '{part}' is missing; {way_out}")
    return index


def _index(folder: Path) -> dict[str, Any]:
    with blaming(folder / INDEX):
        return dict(read_json(folder / INDEX))


_OTHER_FLOWS = (
    *("use_dynamic_shifting", "invert_sigmas", "shift_terminal", "stochastic_sampling"),
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
)


def _usable(scheduler: Any, place: Path) -> Any:
    """The scheduler, if the method knows what its model predicts."""
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        for option in _OTHER_FLOWS:
            if scheduler.config.get(option):
                raise RunError(f"'{place}' sets {option}, which spf does not compute; use a model without it")
        return scheduler
    if scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        raise RunError(
            f"'{place}' predicts {quoted(scheduler.config.prediction_type)}; "
            "use a model whose prediction_type is epsilon or v_prediction"
        )
    if scheduler.config.rescale_betas_zero_snr:
        # Such a model must begin at the last timestep (Lin et al. 2023, arXiv 2305.08891, section 3.3).
        scheduler.register_to_config(timestep_spacing="trailing")
    return scheduler


def _image_statistics(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pixel mean and standard deviation, in [0, 1], that the CLIP model was trained with."""
    file = folder / "preprocessor_config.json"
    with blaming(file):
        settings = dict(read_json(file))
    refuse_unsound_statistics(settings, file)
    return tuple(settings["image_mean"]), tuple(settings["image_std"])
