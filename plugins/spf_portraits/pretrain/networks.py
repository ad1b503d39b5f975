"""The networks of `mini`: the classes of Stable Diffusion 1.5, in small."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from spf_portraits.pretrain.recipe import (
    LATENT_CHANNELS,
    LATENT_SIZE,
    RESOLUTION,
    TEXT_LENGTH,
    TEXT_WIDTH,
)


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Text 4 layers, vision 4 layers over 8x8 patches, both 192 wide; 128 shared dimensions."""
    tower = {"hidden_size": TEXT_WIDTH, "intermediate_size": 4 * TEXT_WIDTH, "num_hidden_layers": 4}
    heads = {"num_attention_heads": 3, "projection_dim": 128, "hidden_act": "gelu"}
    text = tower | heads | {"vocab_size": len(tokenizer), "max_position_embeddings": TEXT_LENGTH}
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = tower | heads | {"image_size": RESOLUTION, "patch_size": 8}
    config = CLIPConfig(text_config=text | special, vision_config=vision, projection_dim=128)
    config._attn_implementation = "eager"
    return CLIPModel(config)


def build_vae() -> AutoencoderKL:
    """Downsamples by 4: 64x64x3 to 16x16x4."""
    channels = (32, 64, 96)
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=16,
        sample_size=RESOLUTION,
    ).to(memory_format=torch.channels_last)


def build_unet() -> UNet2DConditionModel:
    """Cross-attention at 16x16, 8x8 and in the 4x4 middle; two heads a layer keep CPU training fast."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128, 256),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        norm_num_groups=16,
    ).to(memory_format=torch.channels_last)


def build_scheduler() -> DDIMScheduler:
    """SD1.5's noise schedule."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )
