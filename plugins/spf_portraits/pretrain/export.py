"""Stage `export`: the pipeline folder that diffusers loads, with the full CLIP beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTextModel

from spf_core.runs.checkpoint import read_safetensors
from spf_portraits.pretrain.clip import load_clip
from spf_portraits.pretrain.loop import checkpoint_path, load_trained
from spf_portraits.pretrain.networks import build_scheduler, build_unet
from spf_portraits.pretrain.recipe import RESOLUTION, STAGES, Options
from spf_portraits.pretrain.tokenizer import save_tokenizer
from spf_portraits.pretrain.vae import load_vae

PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": RESOLUTION},
    "do_center_crop": True,
    "crop_size": {"height": RESOLUTION, "width": RESOLUTION},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def export_all(options: Options) -> None:
    """Export the averaged UNet of the finished run to `weights/mini`."""
    unet = build_unet()
    load_trained(unet, options.cache, "unet", kind="ema")
    export_pipeline(options, unet, options.weights / "mini")
    record_training(options, options.weights / "mini" / "training.json")


def record_training(options: Options, path: Path) -> None:
    """Write steps and last losses of every stage; what was only restored stays as it is."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found = {
        name: read_safetensors(checkpoint)[1]
        for name in STAGES
        if (checkpoint := checkpoint_path(options.cache, name)).exists()
    }
    trained = {name: metadata for name, metadata in found.items() if metadata["step"] != "0"}
    path.write_text(json.dumps(known | trained, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def export_pipeline(options: Options, unet: UNet2DConditionModel, folder: Path) -> None:
    """Write a `StableDiffusionPipeline` folder in half precision, and `clip/` with both towers."""
    clip, tokenizer = load_clip(options)
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.load_state_dict(clip.text_model.state_dict())
    pipeline = StableDiffusionPipeline(
        vae=load_vae(options),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    save_tokenizer(tokenizer, folder / "tokenizer")
    save_clip(clip, folder / "clip")
    for path in folder.glob("*/*.safetensors"):
        halve(path)


def save_clip(clip: CLIPModel, folder: Path) -> None:
    """Save both towers and how images enter the vision tower."""
    clip.save_pretrained(folder)
    text = json.dumps(PREPROCESSOR, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")


def halve(path: Path) -> None:
    """Rewrite a safetensors file in float16; the configs still say float32, which is what loaders build."""
    tensors, metadata = read_safetensors(path)
    save_file(half(tensors), path, metadata)


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors as contiguous float16, the others unchanged."""
    return {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in tensors.items()
    }


def save_half(network: nn.Module, path: Path) -> None:
    """Save a network's weights in float16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        save_file(half(network.state_dict()), path)
