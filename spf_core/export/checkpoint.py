"""A pipeline as one file in the layout of the original checkpoints, which every client opens.

The UNet lies under `model.diffusion_model.`, the VAE under `first_stage_model.`. Stable Diffusion 1.5 keeps
its text encoder under `cond_stage_model.transformer.`, SDXL its two under `conditioner.embedders.`, the
second one in OpenCLIP's layout: queries, keys and values in one tensor, and the projection transposed.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spf_core.export.names import TEXT_1, TEXT_2, ldm_unet, ldm_vae, open_clip, text_layer

UNET_PLACE = "model.diffusion_model."
_QKV = re.compile(r"(.*\.attn\.)([qkv])_proj\.(weight|bias)")


def checkpoint_tensors(pipeline: Any) -> dict[str, Tensor]:
    """Every tensor of a Stable Diffusion or SDXL pipeline under its name in an original checkpoint."""
    tensors = {
        **{f"{UNET_PLACE}{name}": tensor for name, tensor in unet_tensors(pipeline.unet).items()},
        **{f"first_stage_model.{name}": tensor for name, tensor in _vae_tensors(pipeline.vae).items()},
    }
    first = {text_layer(name): tensor for name, tensor in pipeline.text_encoder.state_dict().items()}
    second = getattr(pipeline, "text_encoder_2", None)
    place = text_place(TEXT_1, two_encoders=second is not None)
    tensors |= {f"{place}{name}": tensor for name, tensor in first.items()}
    if second is not None:
        found = open_clip_tensors(second.state_dict())
        place = text_place(TEXT_2, two_encoders=True)
        tensors |= {f"{place}{name}": tensor for name, tensor in found.items()}
    return tensors


def unet_tensors(unet: Any) -> dict[str, Tensor]:
    """The UNet's parameters under their original names."""
    layers, above = unet.config.layers_per_block, attention_above(unet)
    return {ldm_unet(name, layers, above): tensor for name, tensor in unet.state_dict().items()}


def attention_above(unet: Any) -> tuple[bool, ...]:
    """Which up blocks have attention."""
    return tuple("CrossAttn" in kind for kind in unet.config.up_block_types)


def _vae_tensors(vae: Any) -> dict[str, Tensor]:
    """Attention is a convolution of 1 x 1 there, so its matrices get two more dimensions."""
    blocks, found = len(vae.config.block_out_channels), {}
    for name, tensor in vae.state_dict().items():
        matrix = ".attentions." in name and tensor.ndim == 2
        found[ldm_vae(name, blocks)] = tensor[:, :, None, None] if matrix else tensor
    return found


def open_clip_tensors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A CLIPTextModelWithProjection in OpenCLIP's layout."""
    found: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name == "text_projection.weight":
            found["text_projection"] = tensor.T.contiguous()
            continue
        theirs = open_clip(name.removeprefix("text_model."))
        if matched := _QKV.fullmatch(theirs):
            joined.setdefault(f"{matched[1]}in_proj_{matched[3]}", {})[matched[2]] = tensor
        else:
            found[theirs] = tensor
    return {
        **found,
        **{name: torch.cat([qkv[each] for each in "qkv"]) for name, qkv in joined.items()},
    }


def from_open_clip(name: str, state: Mapping[str, Tensor]) -> Tensor:
    """A tensor of CLIPTextModelWithProjection, by its name there, from OpenCLIP's; KeyError without it."""
    if name == "text_projection.weight":
        return state["text_projection"].T
    theirs = open_clip(name.removeprefix("text_model."))
    if matched := _QKV.fullmatch(theirs):
        return state[f"{matched[1]}in_proj_{matched[3]}"].chunk(3)["qkv".index(matched[2])]
    return state[theirs]


def text_place(part: str, *, two_encoders: bool) -> str:
    """Below which name an original checkpoint keeps a text encoder."""
    if part == TEXT_2:
        return "conditioner.embedders.1.model."
    return "conditioner.embedders.0.transformer." if two_encoders else "cond_stage_model.transformer."
