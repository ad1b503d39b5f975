"""Tiny random models of the classes of Stable Diffusion 1.5, SDXL and SD3, as pipeline folders.

They hold what their architectures have and draw nothing; a training step takes a tenth of a second on a CPU.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from spf_core.errors import unknown

Tiny = Literal["sd15", "sdxl", "sd3"]

WORDS = "a portrait of an old young man woman with red hair in the park wearing round glasses hat style"
MARKS = ("<|startoftext|>", "<|endoftext|>")


def tiny_tokenizer() -> Any:
    """Byte-level BPE that knows most of `WORDS` whole; every other text still tokenises."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    merges: dict[tuple[str, str], None] = {}
    for word in WORDS.split():
        *letters, last = list(word)
        pieces = [*letters, f"{last}</w>"]
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = None
            pieces[:2] = [pieces[0] + pieces[1]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *(a + b for a, b in merges), *MARKS]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=list(merges), model_max_length=77, pad_token=MARKS[1])


def tiny_clip(tokenizer: Any) -> Any:
    """CLIP with two towers of two layers and embeddings of 16 numbers."""
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = tower | marks | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return CLIPModel(
        CLIPConfig(
            text_config=text, vision_config=tower | {"image_size": 24, "patch_size": 8}, projection_dim=16
        )
    )


def tiny_unet(**options: Any) -> Any:
    """A UNet with cross-attention at 8 x 8 and 4 x 4 positions."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=8,
        **options,
    )


def tiny_vae() -> Any:
    """A VAE that takes 32 x 32 pixels to 8 x 8 latents."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.5,
    )


def tiny_scheduler() -> Any:
    """SD1.5's noise schedule."""
    from diffusers import DDIMScheduler

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


def tiny_pipeline(tokenizer: Any, text_config: Any) -> Any:
    """SD1.5's classes."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    return StableDiffusionPipeline(
        tiny_vae(),
        CLIPTextModel(text_config),
        tokenizer,
        tiny_unet(cross_attention_dim=32),
        tiny_scheduler(),
        None,
        None,
        requires_safety_checker=False,
    )


def tiny_xl_pipeline(tokenizer: Any, text_config: Any) -> Any:
    """SDXL's classes: a second, wider text encoder, whose tokenizer pads with another token, and sizes."""
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    wider = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4, "projection_dim": 20}
    second = copy.deepcopy(tokenizer)
    second.pad_token = "!"
    return StableDiffusionXLPipeline(
        tiny_vae(),
        CLIPTextModel(text_config),
        CLIPTextModelWithProjection(CLIPTextConfig(**(text_config.to_dict() | wider))),
        tokenizer,
        second,
        tiny_unet(
            cross_attention_dim=32 + 48,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 20,
        ),
        tiny_scheduler(),
    )


def tiny_t5_tokenizer() -> Any:
    """Unigram pieces that know `WORDS` whole and every letter; T5's marks come first."""
    from transformers import T5Tokenizer

    pieces = [(f"▁{word}", -1.0) for word in dict.fromkeys(WORDS.split())]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz,.-'"]
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=[*marks, *pieces, *letters], extra_ids=0, model_max_length=256)


def _tiny_sd3_vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=32,
        latent_channels=8,
        scaling_factor=0.5,
        shift_factor=0.1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _tiny_sd3_transformer() -> Any:
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=8,
        out_channels=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=96,
        caption_projection_dim=32,
        pooled_projection_dim=16 + 20,
        pos_embed_max_size=8,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )


def tiny_sd3_pipeline(tokenizer: Any, text_config: Any) -> Any:
    """SD3's classes: a transformer on rectified flow, two CLIPs with projections and a T5."""
    from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    wider = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4, "projection_dim": 20}
    first = CLIPTextConfig(**(text_config.to_dict() | {"projection_dim": 16}))
    second = CLIPTextConfig(**(text_config.to_dict() | wider))
    t5_tokenizer = tiny_t5_tokenizer()
    t5 = T5Config(
        vocab_size=len(t5_tokenizer),
        d_model=96,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
    )
    vae, transformer = _tiny_sd3_vae(), _tiny_sd3_transformer()
    return StableDiffusion3Pipeline(
        transformer,
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae,
        CLIPTextModelWithProjection(first),
        tokenizer,
        CLIPTextModelWithProjection(second),
        copy.deepcopy(tokenizer),
        T5EncoderModel(t5),
        t5_tokenizer,
    )


def random_folder(make: Callable[[Any, Any], Any], folder: Path) -> Path:
    """A random pipeline's folder with clip/ inside; `make` gets the tokenizer and CLIP's text settings."""
    import torch

    from spf_core.runs.pretrained import quiet

    with quiet():
        tokenizer = tiny_tokenizer()
        torch.manual_seed(0)
        clip = tiny_clip(tokenizer)
        make(tokenizer, clip.config.text_config).save_pretrained(folder)
        clip.save_pretrained(folder / "clip")
    statistics = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "clip" / "preprocessor_config.json").write_text(json.dumps(statistics), encoding="utf-8")
    return folder


_MAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "sd15": tiny_pipeline,
    "sdxl": tiny_xl_pipeline,
    "sd3": tiny_sd3_pipeline,
}


@cache
def tiny_folder(architecture: Tiny = "sd15") -> Path:
    """A folder with a tiny random model: 32 x 32 pixels, 8 x 8 latents. Made once for each process.

    A configuration trains on it with `{"backbone": {"name": "sd15", "path": str(tiny_folder("sd15"))}}`.
    ConfigError for another architecture than sd15, sdxl and sd3.
    """
    if architecture not in _MAKERS:
        raise unknown("tiny model", architecture, get_args(Tiny))
    _kept.append(kept := tempfile.TemporaryDirectory(prefix="spf-tiny-"))
    return random_folder(_MAKERS[architecture], Path(kept.name) / architecture)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # until the process ends
