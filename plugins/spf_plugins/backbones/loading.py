"""Loading a StableDiffusionPipeline folder with every failure as one line."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from spf_core.errors import RunError
from spf_core.pretrained import DAMAGE, damaged, load, load_network, quiet

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_HASHED = ("*.safetensors", "tokenizer.json", "vocab.json", "merges.txt", "scheduler_config.json")


@dataclass(frozen=True)
class Parts:
    """The loaded networks (float32, frozen, in evaluation mode), tokenizer, scheduler and CLIP statistics."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    clip: Any
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]


def load_parts(folder: Path, clip_folder: Path) -> Parts:
    """Load every part; RunError names the first that is missing or damaged."""
    _check_folder(folder, clip_folder)
    with quiet():
        mean, std = _image_statistics(clip_folder)
        return Parts(
            unet=load_network(UNet2DConditionModel, folder / "unet"),
            vae=load_network(AutoencoderKL, folder / "vae"),
            text_encoder=load_network(CLIPTextModel, folder / "text_encoder"),
            tokenizer=load(CLIPTokenizer, folder / "tokenizer"),
            scheduler=_scheduler(folder / "scheduler"),
            clip=load_network(CLIPModel, clip_folder),
            image_mean=mean,
            image_std=std,
        )


def make_pipeline(**parts: Any) -> Any:
    """A `StableDiffusionPipeline` over the given modules, without safety checker or progress bar."""
    with quiet():
        from diffusers import StableDiffusionPipeline

        pipeline = StableDiffusionPipeline(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fingerprint(folder: Path, clip_folder: Path) -> str:
    """SHA-256 (first 16 hex digits) over weights, tokenizer and noise schedule."""
    digest = hashlib.sha256()
    for place in (*(folder / name for name in COMPONENTS), clip_folder):
        for file in sorted({file for pattern in _HASHED for file in place.glob(pattern)}):
            digest.update(f"{place.name}/{file.name}".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _check_folder(folder: Path, clip_folder: Path) -> None:
    way_out = "set backbone.path to a complete StableDiffusionPipeline folder with clip/ inside"
    if not folder.is_dir():
        raise RunError(f"backbone folder '{folder}' does not exist; {way_out}")
    if not (folder / "model_index.json").is_file():
        raise RunError(f"backbone folder '{folder}' has no model_index.json; {way_out}")
    for part in (*(folder / name for name in COMPONENTS), clip_folder):
        if not part.is_dir():
            raise RunError(f"backbone component '{part}' is missing; {way_out}")


def _scheduler(folder: Path) -> Any:
    scheduler = load(DDIMScheduler, folder)
    if scheduler.config.prediction_type not in ("epsilon", "v_prediction"):
        raise RunError(
            f"'{folder}' predicts '{scheduler.config.prediction_type}'; "
            "use a model whose prediction_type is epsilon or v_prediction"
        )
    return scheduler


def _image_statistics(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pixel mean and standard deviation, in [0, 1], that the CLIP model was trained with."""
    file = folder / "preprocessor_config.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        return tuple(settings["image_mean"]), tuple(settings["image_std"])
    except DAMAGE as error:
        raise damaged(file, error) from None
