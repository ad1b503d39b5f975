"""Stable Diffusion 1.5 and SDXL at their real size with random weights, from the packaged settings."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from spf_core.export.published import settings_of
from spf_core.testing.tiny_models import tiny_tokenizer
from spf_plugins.backbones.layouts import SD, SDXL, Layout

LAYOUTS = {"sd15": SD, "sdxl": SDXL}
CLIP_L = {
    "text_config": {
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
    },
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
    },
    "projection_dim": 768,
}


def skeletons(layout: Layout) -> dict[str, Any]:
    """The networks on the meta device: names and shapes without weights."""
    place, found = settings_of(layout.name), {}
    with torch.device("meta"):
        for name in layout.networks:
            if name == "unet":
                found[name] = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(place / name))
            elif name == "vae":
                found[name] = AutoencoderKL.from_config(AutoencoderKL.load_config(place / name))
            else:
                kind = CLIPTextModelWithProjection if name == "text_encoder_2" else CLIPTextModel
                found[name] = kind(CLIPTextConfig.from_pretrained(place / name))
    return found


def write_model(layout: Layout, folder: Path) -> None:
    """A pipeline folder in bfloat16, the VAE in float32, with clip/ inside."""
    import shutil

    shutil.copytree(settings_of(layout.name), folder)
    for name, network in skeletons(layout).items():
        diffusers = name in ("unet", "vae")
        file = "diffusion_pytorch_model.safetensors" if diffusers else "model.safetensors"
        dtype = torch.float32 if name == "vae" else torch.bfloat16
        save_file(dict(random_weights(network, dtype)), folder / name / file, {"format": "pt"})
    tokenizer = tiny_tokenizer()
    for name in layout.tokenizers:
        tokenizer.pad_token = "!" if name == "tokenizer_2" else "<|endoftext|>"
        tokenizer.save_pretrained(folder / name)
    with torch.device("meta"):
        clip = CLIPModel(CLIPConfig(**CLIP_L))
    clip.config.save_pretrained(folder / "clip")
    save_file(
        dict(random_weights(clip, torch.bfloat16)), folder / "clip" / "model.safetensors", {"format": "pt"}
    )
    statistics = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "clip" / "preprocessor_config.json").write_text(json.dumps(statistics), encoding="utf-8")


def random_weights(network: Any, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    """Normal with variance 1 / fan-in, norms and biases as they begin; a block of numbers repeats."""
    block = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            yield name, torch.arange(tensor.shape[-1]).expand(tensor.shape).contiguous()
        elif tensor.ndim < 2:
            yield (
                name,
                torch.full(tensor.shape, float("norm" in name and name.endswith("weight")), dtype=dtype),
            )
        else:
            count, scale = tensor.numel(), 1 / math.sqrt(tensor[0].numel())
            values = block.repeat(math.ceil(count / len(block)))[:count].view(tensor.shape)
            yield name, (values * scale).to(dtype)
