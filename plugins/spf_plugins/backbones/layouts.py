"""The parts of each architecture: their classes in diffusers and transformers, and their precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5EncoderModel,
    T5Tokenizer,
)


@dataclass(frozen=True)
class Layout:
    """What a pipeline's folder holds, under the names of the pipeline's arguments.

    `name` is that of the packaged settings; `settings` are arguments of the pipeline that are no parts.
    """

    name: str
    pipeline: str
    networks: Mapping[str, type]
    tokenizers: Mapping[str, type]
    settings: Mapping[str, Any]
    denoiser: str = "unet"
    scheduler: type = DDIMScheduler
    single_files: bool = True  # whether settings are packaged, so that a single file can be read

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the folders."""
        return (*self.networks, *self.tokenizers, "scheduler")


_NETWORKS = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}

SD = Layout(
    "sd15",
    "StableDiffusionPipeline",
    _NETWORKS,
    {"tokenizer": CLIPTokenizer},
    {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
)


SDXL = Layout(
    "sdxl",
    "StableDiffusionXLPipeline",
    {**_NETWORKS, "text_encoder_2": CLIPTextModelWithProjection},
    {"tokenizer": CLIPTokenizer, "tokenizer_2": CLIPTokenizer},
    {"add_watermarker": False},
)


SD3 = Layout(
    "sd3",
    "StableDiffusion3Pipeline",
    {
        "transformer": SD3Transformer2DModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModelWithProjection,
        "text_encoder_2": CLIPTextModelWithProjection,
        "text_encoder_3": T5EncoderModel,
    },
    {"tokenizer": CLIPTokenizer, "tokenizer_2": CLIPTokenizer, "tokenizer_3": T5Tokenizer},
    {},
    denoiser="transformer",
    scheduler=FlowMatchEulerDiscreteScheduler,
    single_files=False,
)


def kept_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """The VAE stays in float32: it is small, and SDXL's overflows in float16."""
    return torch.float32 if name == "vae" else dtype
