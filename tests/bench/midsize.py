"""A random model of Stable Diffusion 1.5's shape at about an eighth of its size, for measuring costs."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel

from spf_core.testing.tiny_models import tiny_clip, tiny_tokenizer
from spf_portraits.pretrain.networks import build_scheduler


def write_midsize(folder: Path) -> int:
    """Write a pipeline folder with clip/ inside, 32 x 32 latents; return the UNet's parameters."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    clip = tiny_clip(tokenizer)
    unet = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(112, 224, 448, 448),
        cross_attention_dim=clip.config.text_config.hidden_size,
        norm_num_groups=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(48, 96, 192, 192),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=16,
        sample_size=256,
    )
    scheduler = build_scheduler()
    text_encoder = CLIPTextModel(clip.config.text_config)
    StableDiffusionPipeline(
        vae, text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    ).save_pretrained(folder)
    clip.save_pretrained(folder / "clip")
    statistics = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "clip" / "preprocessor_config.json").write_text(json.dumps(statistics), encoding="utf-8")
    return sum(parameter.numel() for parameter in unet.parameters())
