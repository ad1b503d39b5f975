"""Loading a StableDiffusionPipeline folder with every failure as one line."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from spf_core.errors import RunError

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_HASHED = ("*.safetensors", "tokenizer.json", "vocab.json", "merges.txt", "scheduler_config.json")
_DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


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
    with _quiet():
        mean, std = _image_statistics(clip_folder)
        return Parts(
            unet=_network(UNet2DConditionModel, folder / "unet"),
            vae=_network(AutoencoderKL, folder / "vae"),
            text_encoder=_network(CLIPTextModel, folder / "text_encoder"),
            tokenizer=_load(CLIPTokenizer, folder / "tokenizer"),
            scheduler=_scheduler(folder / "scheduler"),
            clip=_network(CLIPModel, clip_folder),
            image_mean=mean,
            image_std=std,
        )


def make_pipeline(**parts: Any) -> Any:
    """A `StableDiffusionPipeline` over the given modules, without safety checker or progress bar."""
    with _quiet():
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


def _network(cls: Any, folder: Path) -> Any:
    network, report = _load(cls, folder, use_safetensors=True, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        raise RunError(f"the weights in '{folder}' lack the tensor '{missing[0]}'; restore the original file")
    return network.float().eval().requires_grad_(False)


def _load(cls: Any, folder: Path, **options: Any) -> Any:
    try:
        return cls.from_pretrained(folder, local_files_only=True, **options)
    except _DAMAGE as error:
        raise _damaged(folder, error) from None


def _damaged(place: Path, error: BaseException) -> RunError:
    reason = " ".join(str(error).split())[:160]
    return RunError(f"'{place}' cannot be loaded ({type(error).__name__}: {reason}); restore the original")


def _scheduler(folder: Path) -> Any:
    scheduler = _load(DDIMScheduler, folder)
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
    except _DAMAGE as error:
        raise _damaged(file, error) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back transformers' bars and reports (what matters is raised), and keep torch's random state."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
