"""LoRA files as trainers write them, made of random factors, and what they mean by direct computation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from spf_core.export.architecture import architecture_of
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

# Attention, feed-forward, projections, 3 x 3 and 1 x 1 convolutions, strided ones, embeddings.
UNET_LAYERS = (
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k",
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_out.0",
    "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2",
    "down_blocks.0.attentions.0.proj_in",
    "down_blocks.0.resnets.0.conv1",
    "down_blocks.0.resnets.0.time_emb_proj",
    "down_blocks.0.downsamplers.0.conv",
    "down_blocks.1.resnets.0.conv_shortcut",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_v",
    "up_blocks.0.upsamplers.0.conv",
    "up_blocks.1.attentions.1.transformer_blocks.0.attn1.to_v",
    "conv_in",
    "time_embedding.linear_1",
)
TEXT_LAYERS = (
    "text_model.encoder.layers.0.self_attn.q_proj",
    "text_model.encoder.layers.1.self_attn.out_proj",
    "text_model.encoder.layers.1.mlp.fc1",
)


@dataclass(frozen=True)
class Factors:
    """Of one layer, in the shapes that every trainer keeps them in."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def difference(self) -> Tensor:
        """alpha / rank up down, flattened to O x I."""
        return self.alpha / len(self.down) * self.up.flatten(1) @ self.down.flatten(1)


def backbone_of(folder: Path) -> StableDiffusion:
    return (StableDiffusionXL if "xl" in folder.name else StableDiffusion)(folder)


def module_of(backbone: StableDiffusion, key: str) -> nn.Module:
    """The layer by part and name, whether transformers nests text encoders below `text_model` or not."""
    part, _, layer = key.partition(".")
    model = backbone.pipeline().components[part]
    try:
        return model.get_submodule(layer)
    except AttributeError:
        return model.get_submodule(layer.removeprefix("text_model."))


def path_in_files(name: str) -> str:
    """A text encoder's layer below `text_model`, as files have it."""
    part, _, layer = name.partition(".")
    return name if part == "unet" or layer.startswith("text_model.") else f"{part}.text_model.{layer}"


def keys_of(backbone: StableDiffusion) -> list[str]:
    parts = [part for part in ("text_encoder", "text_encoder_2") if part in backbone.pipeline().components]
    return [
        *(f"unet.{layer}" for layer in UNET_LAYERS),
        *(f"{part}.{layer}" for part in parts for layer in TEXT_LAYERS),
    ]


def random_factors(backbone: StableDiffusion, *, convolutions: bool = True) -> dict[str, Factors]:
    """Each layer with a rank and an alpha of its own."""
    generator, found = torch.Generator().manual_seed(7), {}
    for number, key in enumerate(keys_of(backbone)):
        weight = module_of(backbone, key).weight
        if weight.ndim == 4 and not convolutions:
            continue
        rank = 1 + number % 3
        down = torch.randn(rank, *weight.shape[1:], generator=generator) / weight[0].numel() ** 0.5
        up = torch.randn(len(weight), rank, *[1] * (weight.ndim - 2), generator=generator)
        found[key] = Factors(down, up, alpha=0.5 + 0.75 * (number % 5))
    return found


def kohya(factors: Mapping[str, Factors], name: Callable[[str], str]) -> dict[str, Tensor]:
    """`name` makes a file's name of a layer's key."""
    found = {}
    for key, each in factors.items():
        found[f"{name(key)}.lora_down.weight"] = each.down
        found[f"{name(key)}.lora_up.weight"] = each.up
        found[f"{name(key)}.alpha"] = torch.tensor(each.alpha)
    return found


def flat(key: str, *, two: bool) -> str:
    """As kohya's trainer calls it, by diffusers' blocks."""
    part, _, layer = key.partition(".")
    prefix = {
        "unet": "lora_unet",
        "text_encoder": "lora_te1" if two else "lora_te",
        "text_encoder_2": "lora_te2",
    }
    return f"{prefix[part]}_{layer.replace('.', '_')}"


def numbered(backbone: StableDiffusion) -> Callable[[str], str]:
    """As it is called by the original code's block numbers, below `lora_unet_`."""
    base = architecture_of(backbone)

    def name(key: str) -> str:
        if not key.startswith("unet."):
            return flat(key, two=base.two_encoders)
        return f"lora_unet_{base.original_name(key).replace('.', '_')}"

    return name


def written(file: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata)
    return file


def check_effect(
    backbone: StableDiffusion,
    adapter: Any,
    expected: Mapping[str, Tensor],
    strength: float = 1.0,
    biases: Mapping[str, Tensor] | None = None,
) -> None:
    """Every layer computes W0 + strength * difference, and at strength 0 exactly what it did."""
    generator = torch.Generator().manual_seed(1)
    for key, difference in expected.items():
        layer: Any = module_of(backbone, key)
        wide = layer.weight.shape[1] if layer.weight.ndim > 1 else len(layer.weight)
        shape = (2, wide, 6, 6) if isinstance(layer, nn.Conv2d | nn.GroupNorm) else (2, 5, wide)
        x = torch.randn(shape, generator=generator)
        adapter.scale(0.0)
        original = layer(x)
        with adapter.disabled():
            assert torch.equal(layer(x), original)
        adapter.scale(strength)
        with adapter.disabled():
            assert torch.equal(layer(x), original)
        weight = layer.weight + strength * difference.reshape(layer.weight.shape)
        bias = layer.bias
        if biases and key in biases:
            bias = bias + strength * biases[key]
        wanted = _computed(layer, x, weight, bias)
        assert torch.allclose(layer(x), wanted, atol=1e-4), key
        assert not torch.allclose(layer(x), original, atol=1e-3), key
    merged = {path_in_files(name): tensor for name, tensor in adapter.merged().items()}
    for key, difference in expected.items():
        weight = module_of(backbone, key).weight
        assert torch.allclose(
            merged[f"{key}.weight"], weight + strength * difference.reshape(weight.shape), atol=1e-5
        )


def _computed(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.stride, layer.padding)
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
    return F.layer_norm(x, weight.shape, weight, bias, layer.eps)
