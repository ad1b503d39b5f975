"""What a layer's tensors in a file mean: a low-rank update, or any other difference of weight and bias.

Formulas: LoRA (arXiv 2106.09685), LoHa (FedPara, arXiv 2108.06098), LoKr and the Tucker form of convolutions
(LyCORIS, arXiv 2309.14859), DoRA (arXiv 2402.09353).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from spf_core.interfaces import LowRankUpdate
from spf_plugins.adapters.files.keys import ALPHA, DIFF, DIFF_BIAS, DORA, DOWN, MAGNITUDE, MID, UP

Tensors = Mapping[str, Tensor]  # by role, float32
_LOHA = frozenset(f"hada_w{side}_{factor}" for side in (1, 2) for factor in "ab")


@dataclass(frozen=True)
class Difference:
    """What is added to a layer's weight and to its bias at strength 1; None leaves it as it is."""

    weight: Tensor | None
    bias: Tensor | None


def is_complete(roles: Tensors) -> bool:
    """Whether the tensors of a layer make an update: both factors of a LoRA, for example."""
    return _has_factors(roles) or DIFF in roles or DIFF_BIAS in roles


def rank_of(roles: Tensors) -> int | None:
    """The rank that divides alpha; None where there is none, as for whole matrices."""
    for role in (DOWN, "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if role in roles:
            return len(roles[role])
    return None


def update_of(roles: Tensors, scale: float, layer: Any) -> LowRankUpdate | Difference:
    """What the tensors do to a layer. RuntimeError, ValueError or IndexError where they do not fit it.

    `scale` is alpha / rank. Plain LoRA stays low-rank; everything else becomes a dense difference.
    """
    original: Tensor = layer.weight.detach().float().cpu()
    if roles.keys() - {ALPHA} == {DOWN, UP}:
        return _low_rank(roles, scale, original)
    weight = None
    if _has_factors(roles):
        weight = _product(roles).reshape(original.shape) * scale
    if DIFF in roles:
        full = roles[DIFF].reshape(original.shape)
        weight = full if weight is None else weight + full
    if weight is not None and (DORA in roles or MAGNITUDE in roles):
        weight = _rescaled(roles, original + weight) - original
    bias = roles.get(DIFF_BIAS)
    if bias is not None:
        if not isinstance(getattr(layer, "bias", None), nn.Parameter):
            raise ValueError("the layer has no bias")
        bias = bias.reshape(layer.bias.shape)
    return Difference(weight, bias)


def _has_factors(roles: Tensors) -> bool:
    whole = "lokr_w1" in roles or {"lokr_w1_a", "lokr_w1_b"} <= roles.keys()
    other = "lokr_w2" in roles or {"lokr_w2_a", "lokr_w2_b"} <= roles.keys()
    return {DOWN, UP} <= roles.keys() or roles.keys() >= _LOHA or (whole and other)


def _low_rank(roles: Tensors, scale: float, original: Tensor) -> LowRankUpdate:
    """The factors in the shapes of the layer: files may keep a matrix as a convolution of 1 x 1."""
    down, up = roles[DOWN], roles[UP]
    rank, ones = len(down), [1] * (original.ndim - 2)
    if up.numel() != len(original) * rank or down.numel() != rank * prod(original.shape[1:]):
        raise ValueError("the factors have other sizes than the layer")
    return LowRankUpdate(
        down.reshape(rank, *original.shape[1:]), up.reshape(len(original), rank, *ones), scale
    )


def _product(roles: Tensors) -> Tensor:
    if DOWN in roles:
        down, up = roles[DOWN].flatten(1), roles[UP].flatten(1)
        return up @ down if MID not in roles else _tucker(roles[MID], up.T, down)
    if "hada_w1_a" in roles:
        return _side(roles, "hada_w1", "hada_t1") * _side(roles, "hada_w2", "hada_t2")
    first, second = _side(roles, "lokr_w1"), _side(roles, "lokr_w2", "lokr_t2")
    return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second)


def _side(roles: Tensors, name: str, core: str = "") -> Tensor:
    """One of two matrices: whole, or a product of its factors, with a core that they surround."""
    if name in roles:
        return roles[name]
    first, second = roles[f"{name}_a"], roles[f"{name}_b"]
    return _tucker(roles[core], first, second) if core in roles else first @ second


def _tucker(core_RSHW: Tensor, out_RO: Tensor, in_SI: Tensor) -> Tensor:
    return torch.einsum("rshw,ro,si->oihw", core_RSHW, out_RO, in_SI)


def _rescaled(roles: Tensors, changed: Tensor) -> Tensor:
    """M W / |W|, by rows of the weight or, as LyCORIS and OneTrainer also keep it, by columns."""
    size, dims = roles.get(MAGNITUDE, roles.get(DORA)), range(changed.ndim)
    assert size is not None, "asked for where there is one"
    by_rows = MAGNITUDE in roles or size.ndim == 1 or (len(size) == len(changed) and size[0].numel() == 1)
    axis = 0 if by_rows else 1
    norm = torch.linalg.vector_norm(changed, dim=[dim for dim in dims if dim != axis], keepdim=True)
    rescaled: Tensor = size.reshape(norm.shape) * changed / norm
    return rescaled
