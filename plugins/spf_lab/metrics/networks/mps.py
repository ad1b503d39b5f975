"""MPS (Zhang et al. 2024, arXiv 2405.14705): CLIP-H whose image tokens attend to the text's tokens.

Tensor names are those of the published model: `model` is the CLIP, `cross_model` the blocks on top of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoTokenizer, CLIPConfig, CLIPModel

from spf_core.errors import RunError
from spf_core.interfaces import Backbone, Suite
from spf_core.plugins.outside_weights import Weights
from spf_core.runs.pretrained import load, quiet
from spf_lab.metrics.networks.clip import processed
from spf_lab.metrics.networks.files import filled, read_weights
from spf_lab.metrics.networks.judge import BATCH, Images

CONDITION = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, "
    "instance, texture, quantity, attributes, position, number, location, word, things."
)


class SwiGlu(nn.Module):
    """The first half of the channels, gated by the second."""

    def forward(self, x: Tensor) -> Tensor:
        """Half as many channels."""
        value, gate = x.chunk(2, dim=-1)
        return F.silu(gate) * value


class CrossAttention(nn.Module):
    """Image tokens to text tokens, keys and values shared by the heads; a feed-forward part beside it."""

    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(dim)
        self.to_q, self.to_kv = (
            nn.Linear(dim, heads * width, bias=False),
            nn.Linear(dim, 2 * width, bias=False),
        )
        self.to_out = nn.Linear(heads * width, dim, bias=False)
        self.ff = nn.Sequential(
            nn.Linear(dim, 8 * dim, bias=False), SwiGlu(), nn.Linear(4 * dim, dim, bias=False)
        )

    def forward(self, x_BQD: Tensor, text_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """B Q D; `mask_BL` marks the text tokens that are seen."""
        x = self.norm(x_BQD)
        k, v = self.to_kv(text_BLD).chunk(2, dim=-1)
        seen = _attended(_heads(self.to_q(x), self.heads), k, v, mask_BL[:, None, None])
        attended: Tensor = self.to_out(seen) + self.ff(x)
        return attended


class SelfAttention(nn.Module):
    """Rotary self-attention over the image tokens; its feed-forward part shares the input projection."""

    def __init__(self, dim: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(dim)
        self.parts = (heads * width, width, width, 8 * dim)
        self.fused_attn_ff_proj = nn.Linear(dim, sum(self.parts), bias=False)
        self.attn_out = nn.Linear(heads * width, dim, bias=False)
        self.ff_out = nn.Sequential(SwiGlu(), nn.Linear(4 * dim, dim, bias=False))

    def forward(self, x_BQD: Tensor) -> Tensor:
        """B Q D."""
        q, k, v, inner = self.fused_attn_ff_proj(self.norm(x_BQD)).split(self.parts, dim=-1)
        seen = _attended(_turned(_heads(q, self.heads)), _turned(k), v, None)
        attended: Tensor = self.attn_out(seen) + self.ff_out(inner)
        return attended


class CrossModel(nn.Module):
    """Blocks of cross- and self-attention, each added to what it reads."""

    def __init__(self, dim: int, heads: int, width: int, blocks: int) -> None:
        super().__init__()
        pairs = [(CrossAttention(dim, heads, width), SelfAttention(dim, heads, width)) for _ in range(blocks)]
        self.layers = nn.ModuleList(
            nn.ModuleList(nn.ModuleDict({"fn": part}) for part in pair) for pair in pairs
        )

    def forward(self, image_BQD: Tensor, text_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """B Q D."""
        for place in range(len(self.layers)):
            cross, own = (self.layers.get_submodule(f"{place}.{part}.fn") for part in (0, 1))
            image_BQD = image_BQD + cross(image_BQD, text_BLD, mask_BL)
            image_BQD = image_BQD + own(image_BQD)
        return image_BQD


class Mps(nn.Module):
    """The preference score of pictures under texts, judged by a list of conditions."""

    def __init__(self, config: Any, heads: int, width: int, blocks: int) -> None:
        super().__init__()
        self.model = CLIPModel(config)
        self.cross_model = CrossModel(config.projection_dim, heads, width, blocks)

    def forward(self, pixels_B3HW: Tensor, ids_BL: Tensor, condition_1L: Tensor, threshold: float) -> Tensor:
        """exp(logit scale) x cosine of the text with the picture as the text's related words see it, B."""
        clip = self.model
        read = clip.text_model(input_ids=ids_BL)
        words_BLD, text_BD = (
            clip.text_projection(part) for part in (read.last_hidden_state, read.pooler_output)
        )
        condition_CD = clip.text_projection(clip.text_model(input_ids=condition_1L).last_hidden_state)[0]
        image_BQD = clip.visual_projection(clip.vision_model(pixel_values=pixels_B3HW).last_hidden_state)
        mask_BL = related(words_BLD, condition_CD, threshold)
        seen_BD = self.cross_model(image_BQD, words_BLD, mask_BL)[:, 0]
        score: Tensor = clip.logit_scale.exp() * F.cosine_similarity(text_BD, seen_BD)
        return score


def related(words_BLD: Tensor, condition_CD: Tensor, threshold: float) -> Tensor:
    """Text tokens whose closest condition is near enough, relative to the nearest of the same text, B L.

    Upstream divides by the largest of the whole batch, so that a score depends on its neighbours; per text
    it is what upstream computes for a text alone.
    """
    nearest_BL = (words_BLD @ condition_CD.T).amax(dim=-1)
    return nearest_BL / nearest_BL.amax(dim=-1, keepdim=True) > threshold


class MpsModel:
    """Scores of pictures under texts, N."""

    def __init__(self, found: Weights, condition: str, threshold: float) -> None:
        self.threshold = threshold
        with quiet():
            self.module = load_mps(found)
            self.tokenizer = load(AutoTokenizer, found.folder)
            self.processor = load(AutoImageProcessor, found.folder, backend="pil")
        self.condition_1L = self._ids([condition])

    @torch.no_grad()
    def __call__(self, images: Images, texts: Sequence[str], suite: Suite, backbone: Backbone) -> Tensor:
        """Each picture under its own text."""
        self.module.to(backbone.device)
        condition_1L, found = self.condition_1L.to(backbone.device), []
        for start in range(0, len(images), BATCH):
            part = [image.convert("RGB") for image in images[start : start + BATCH]]
            pixels_B3HW = processed(self.processor, part).to(backbone.device)
            ids_BL = self._ids(texts[start : start + BATCH]).to(backbone.device)
            found.append(self.module(pixels_B3HW, ids_BL, condition_1L, self.threshold))
        return torch.cat(found).float().cpu()

    def _ids(self, texts: Sequence[str]) -> Tensor:
        length = self.module.get_submodule("model.text_model.embeddings.position_embedding").num_embeddings
        ids_NL: Tensor = self.tokenizer(
            list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )["input_ids"]
        return ids_NL


def load_mps(found: Weights) -> Mps:
    """The network of the size that the tensors and `config.json` tell; RunError when it is none."""
    weights = read_weights(found.file)
    module = filled(built(load(CLIPConfig, found.folder), weights, found.file), weights, found.file)
    assert isinstance(module, Mps)
    return module


def built(config: Any, weights: Mapping[str, Tensor], place: Path) -> Mps:
    """An empty network of that size."""
    first = "cross_model.layers.0.0.fn."
    if f"{first}to_kv.weight" not in weights:
        raise RunError(
            f"'{place}' is no MPS: it lacks the tensor '{first}to_kv.weight'; convert upstream's file again"
        )
    width = len(weights[f"{first}to_kv.weight"]) // 2
    blocks = len({name.split(".")[2] for name in weights if name.startswith("cross_model.layers.")})
    return Mps(config, len(weights[f"{first}to_q.weight"]) // width, width, blocks)


def _heads(x_BQD: Tensor, heads: int) -> Tensor:
    batch, length, _ = x_BQD.shape
    return x_BQD.view(batch, length, heads, -1).transpose(1, 2)


def _attended(q_BHQW: Tensor, k_BLW: Tensor, v_BLW: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of all heads to the same keys and values, the heads joined: B Q HW."""
    shape = (-1, q_BHQW.shape[1], -1, -1)
    k, v = k_BLW[:, None].expand(shape), v_BLW[:, None].expand(shape)
    return F.scaled_dot_product_attention(q_BHQW, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def _turned(x: Tensor) -> Tensor:
    """Rotary position embedding (arXiv 2104.09864), the halves of a head paired."""
    length, width = x.shape[-2:]
    rates = 10000 ** (-torch.arange(0, width, 2, device=x.device).float() / width)
    angles = torch.arange(length, device=x.device)[:, None] * torch.cat([rates, rates])
    one, other = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat([-other, one], dim=-1) * angles.sin()
