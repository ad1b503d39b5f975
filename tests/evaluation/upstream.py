"""The published networks written down a second time, with upstream's tensor names, to check conversions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """open_clip's residual block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 2 * width), "c_proj": nn.Linear(2 * width, width)})

    def forward(self, x, mask=None):
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Visual(nn.Module):
    def __init__(self, width: int, projected: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 8, 8, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(10, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(Block(width, 2) for _ in range(2))})
        self.proj = nn.Parameter(torch.randn(width, projected))

    def forward(self, pixels):
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
        x = self.ln_pre(x + self.positional_embedding)
        for block in self.transformer["resblocks"]:
            x = block(x)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    """A CLIP as open_clip names and computes it."""

    def __init__(self, words: int, width: int = 32, projected: int = 16) -> None:
        super().__init__()
        self.visual = Visual(width, projected)
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.randn(77, width))
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(Block(width, 2) for _ in range(2))})
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, projected))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def text(self, ids):
        x = self.token_embedding(ids) + self.positional_embedding
        mask = torch.full((77, 77), -torch.inf).triu(1)
        for block in self.transformer["resblocks"]:
            x = block(x, mask)
        return self.ln_final(x)[torch.arange(len(ids)), ids.argmax(dim=1)] @ self.text_projection


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Every tensor away from its initial value, so that no mix-up goes unseen."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*module.parameters()]:
        tensor.data += 0.2 * torch.randn(tensor.shape, generator=generator)
    return module.eval()


Tensors = dict[str, torch.Tensor]


def image_reward_tensors(words: int, text: int = 128, vision: int = 64) -> Tensors:
    """ImageReward's names at a small size: heads of 64 channels, as in every BLIP."""
    generator, found = torch.Generator().manual_seed(7), {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.weight"] = 0.3 * torch.randn(outputs, inputs, generator=generator)
        found[f"{name}.bias"] = 0.3 * torch.randn(outputs, generator=generator)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        found[f"{name}.bias"] = 0.2 * torch.randn(width, generator=generator)

    eye = "blip.visual_encoder."
    found[f"{eye}cls_token"] = torch.randn(1, 1, vision, generator=generator)
    found[f"{eye}pos_embed"] = torch.randn(1, 5, vision, generator=generator)
    found[f"{eye}patch_embed.proj.weight"] = 0.1 * torch.randn(vision, 3, 8, 8, generator=generator)
    found[f"{eye}patch_embed.proj.bias"] = torch.randn(vision, generator=generator)
    for n in range(2):
        block = f"{eye}blocks.{n}."
        norm(f"{block}norm1", vision), norm(f"{block}norm2", vision)
        linear(f"{block}attn.qkv", vision, 3 * vision), linear(f"{block}attn.proj", vision, vision)
        linear(f"{block}mlp.fc1", vision, 96), linear(f"{block}mlp.fc2", 96, vision)
    norm(f"{eye}norm", vision)
    reader = "blip.text_encoder."
    found[f"{reader}embeddings.word_embeddings.weight"] = torch.randn(words, text, generator=generator)
    found[f"{reader}embeddings.position_embeddings.weight"] = torch.randn(40, text, generator=generator)
    found[f"{reader}embeddings.position_ids"] = torch.arange(40)[None]
    norm(f"{reader}embeddings.LayerNorm", text)
    for n in range(2):
        layer = f"{reader}encoder.layer.{n}."
        for kind, source in (("attention", text), ("crossattention", vision)):
            linear(f"{layer}{kind}.self.query", text, text)
            linear(f"{layer}{kind}.self.key", source, text), linear(f"{layer}{kind}.self.value", source, text)
            linear(f"{layer}{kind}.output.dense", text, text), norm(f"{layer}{kind}.output.LayerNorm", text)
        linear(f"{layer}intermediate.dense", text, 48), linear(f"{layer}output.dense", 48, text)
        norm(f"{layer}output.LayerNorm", text)
    linear("blip.vision_proj", vision, 8), linear("blip.text_proj", text, 8)
    for place, (inputs, outputs) in zip(
        (0, 2, 4, 6, 7), ((text, 12), (12, 8), (8, 6), (6, 4), (4, 1)), strict=True
    ):
        linear(f"mlp.layers.{place}", inputs, outputs)
    return found


def attention(q, k, v, heads, mask=None):
    """Softmax attention, B L D each."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def image_reward(t: Tensors, pixels, ids, mask):
    """The reward computed from upstream's tensors alone."""

    def linear(name, x):
        return F.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    def norm(name, x, eps):
        return F.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"], eps)

    eye = "blip.visual_encoder."
    patches = F.conv2d(pixels, t[f"{eye}patch_embed.proj.weight"], t[f"{eye}patch_embed.proj.bias"], 8)
    x = torch.cat(
        [t[f"{eye}cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1
    )
    x = x + t[f"{eye}pos_embed"]
    for n in range(2):
        block = f"{eye}blocks.{n}."
        q, k, v = linear(f"{block}attn.qkv", norm(f"{block}norm1", x, 1e-6)).chunk(3, dim=-1)
        x = x + linear(f"{block}attn.proj", attention(q, k, v, 1))
        x = x + linear(f"{block}mlp.fc2", F.gelu(linear(f"{block}mlp.fc1", norm(f"{block}norm2", x, 1e-6))))
    seen = norm(f"{eye}norm", x, 1e-6)
    reader = "blip.text_encoder."
    y = t[f"{reader}embeddings.word_embeddings.weight"][ids]
    y = y + t[f"{reader}embeddings.position_embeddings.weight"][: ids.shape[1]]
    y = norm(f"{reader}embeddings.LayerNorm", y, 1e-12)
    for n in range(2):
        layer = f"{reader}encoder.layer.{n}."
        for kind, source, allowed in (
            ("attention", None, mask[:, None, None].bool()),
            ("crossattention", seen, None),
        ):
            place, read = f"{layer}{kind}.", y if source is None else source
            q = linear(f"{place}self.query", y)
            k, v = (linear(f"{place}self.{part}", read) for part in ("key", "value"))
            mixed = linear(f"{place}output.dense", attention(q, k, v, 2, allowed))
            y = norm(f"{place}output.LayerNorm", mixed + y, 1e-12)
        inner = linear(f"{layer}output.dense", F.gelu(linear(f"{layer}intermediate.dense", y)))
        y = norm(f"{layer}output.LayerNorm", inner + y, 1e-12)
    reward = y[:, 0]
    for place in (0, 2, 4, 6, 7):
        reward = linear(f"mlp.layers.{place}", reward)
    return (reward[:, 0] - 0.16717362830052426) / 1.0333394966054072


def mps_tensors(clip: Any, dim: int = 16, heads: int = 2, width: int = 4, blocks: int = 2) -> Tensors:
    """A CLIP's tensors and those of the blocks on it, under MPS's names."""
    generator = torch.Generator().manual_seed(8)
    found = {f"model.{name}": tensor.clone() for name, tensor in clip.state_dict().items()}
    shapes = {
        "0.fn.norm.weight": (dim,),
        "0.fn.norm.bias": (dim,),
        "0.fn.to_q.weight": (heads * width, dim),
        "0.fn.to_kv.weight": (2 * width, dim),
        "0.fn.to_out.weight": (dim, heads * width),
        "0.fn.ff.0.weight": (8 * dim, dim),
        "0.fn.ff.2.weight": (dim, 4 * dim),
        "1.fn.norm.weight": (dim,),
        "1.fn.norm.bias": (dim,),
        "1.fn.rotary_emb.inv_freq": (width // 2,),
        "1.fn.fused_attn_ff_proj.weight": ((heads + 2) * width + 8 * dim, dim),
        "1.fn.attn_out.weight": (dim, heads * width),
        "1.fn.ff_out.1.weight": (dim, 4 * dim),
    }
    for n in range(blocks):
        for name, shape in shapes.items():
            found[f"cross_model.layers.{n}.{name}"] = 0.5 * torch.randn(shape, generator=generator)
    return found


def mps(t: Tensors, image, words, text, condition, threshold, heads=2):
    """The score of one picture under one text, from projected features: image Q D, words L D, text D."""

    def head_of(x, length):
        return x.reshape(length, heads, -1)

    similar = (words @ condition.T).max(dim=1).values
    seen = similar / similar.max() > threshold
    x = image
    for n in range(len({name.split(".")[2] for name in t if re.match(r"cross_model\.layers", name)})):
        cross, own = (f"cross_model.layers.{n}.{part}.fn." for part in (0, 1))
        normed = F.layer_norm(x, x.shape[-1:], t[f"{cross}norm.weight"], t[f"{cross}norm.bias"])
        k, v = (words @ t[f"{cross}to_kv.weight"].T).chunk(2, dim=1)
        q = head_of(normed @ t[f"{cross}to_q.weight"].T, len(x))
        scores = torch.einsum("qhd,kd->hqk", q, k) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
        mixed = torch.einsum("hqk,kd->qhd", weights, v).reshape(len(x), -1) @ t[f"{cross}to_out.weight"].T
        inner, gate = (normed @ t[f"{cross}ff.0.weight"].T).chunk(2, dim=1)
        x = x + mixed + (F.silu(gate) * inner) @ t[f"{cross}ff.2.weight"].T
        normed = F.layer_norm(x, x.shape[-1:], t[f"{own}norm.weight"], t[f"{own}norm.bias"])
        width = t[f"{own}attn_out.weight"].shape[1] // heads
        sizes = [heads * width, width, width, 8 * x.shape[1]]
        q, k, v, fused = (normed @ t[f"{own}fused_attn_ff_proj.weight"].T).split(sizes, dim=1)
        q, k = rotated(head_of(q, len(x))), rotated(k[:, None])[:, 0]
        weights = (torch.einsum("qhd,kd->hqk", q, k) / width**0.5).softmax(dim=-1)
        mixed = torch.einsum("hqk,kd->qhd", weights, v).reshape(len(x), -1) @ t[f"{own}attn_out.weight"].T
        inner, gate = fused.chunk(2, dim=1)
        x = x + mixed + (F.silu(gate) * inner) @ t[f"{own}ff_out.1.weight"].T
    return t["model.logit_scale"].exp() * torch.cosine_similarity(text, x[0], dim=0)


def rotated(x):
    """Rotary embedding as rotations of complex numbers, L H D."""
    half = x.shape[-1] // 2
    numbers = torch.complex(x[..., :half], x[..., half:])
    rates = 10000.0 ** (-torch.arange(half) * 2 / x.shape[-1])
    turned = numbers * torch.polar(torch.ones(1), torch.arange(len(x))[:, None] * rates)[:, None]
    return torch.cat([turned.real, turned.imag], dim=-1)


def bert_folder(folder: Path, words: list[str]) -> Path:
    """A BERT tokenizer that knows a few words."""
    from transformers import BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", *words]
    BertTokenizer(vocab={word: n for n, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder
