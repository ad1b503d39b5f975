"""The tensors of LoRA files: kohya's keys, which every client reads, and those of diffusers and PEFT."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor

from spf_core.errors import RunError
from spf_core.export.names import TEXT_1, TEXT_2, kohya_name, text_layer
from spf_core.interfaces import LowRank, LowRankUpdate

Updates = Mapping[str, LowRankUpdate]


@dataclass(frozen=True)
class Lora:
    """A LoRA as files keep it: updates by part and layer, all with one alpha, scaled by alpha / rank.

    One alpha for all, because diffusers misplaces alphas that differ between attention layers of a file.
    """

    updates: Updates
    alpha: float

    @property
    def rank(self) -> int:
        """The highest."""
        return max(update.rank for update in self.updates.values())


def as_lora(adapter: Any) -> Lora:
    """The trained adapter as a LoRA, with its own alpha where all layers share scale and rank.

    Elsewhere alpha is the highest rank and the rest of the scale goes into `up`. RunError when the adapter is
    no LoRA, or nothing is left of it.
    """
    if not isinstance(adapter, LowRank):
        raise RunError(
            "the run trained whole weights, which a LoRA file cannot hold; "
            "export it with --format diffusers or --format checkpoint"
        )
    updates = adapter.updates()
    if not updates:
        raise RunError("the adapter has no rank left in any layer; there is nothing to export")
    scales = {(update.rank, update.scale) for update in updates.values()}
    if len(scales) == 1:
        rank, scale = scales.pop()
        return Lora(updates, rank * scale)
    alpha = float(max(update.rank for update in updates.values()))
    return Lora({name: _rescaled(update, alpha / update.rank) for name, update in updates.items()}, alpha)


def _rescaled(update: LowRankUpdate, scale: float) -> LowRankUpdate:
    if update.scale == scale:
        return update
    return LowRankUpdate(update.down, update.up * (update.scale / scale), scale)


def kohya_tensors(lora: Lora, dtype: torch.dtype, *, two_encoders: bool) -> dict[str, Tensor]:
    """`NAME.lora_down.weight`, `NAME.lora_up.weight` and the scalar `NAME.alpha` of every layer."""
    found = {}
    for key, update in lora.updates.items():
        part, _, layer = key.partition(".")
        name = kohya_name(part, layer, two_encoders=two_encoders)
        found[f"{name}.lora_down.weight"] = update.down.to(dtype)
        found[f"{name}.lora_up.weight"] = update.up.to(dtype)
        found[f"{name}.alpha"] = torch.tensor(lora.alpha, dtype=dtype)
    return found


def peft_tensors(lora: Lora, dtype: torch.dtype) -> dict[str, Tensor]:
    """`PART.LAYER.lora_A.weight` and `.lora_B.weight`, the scale folded into B: alpha equals the rank.

    So clients agree that read no metadata.
    """
    found = {}
    for key, update in lora.updates.items():
        folded = _rescaled(update, 1.0)
        found[f"{_file_key(key)}.lora_A.weight"] = folded.down.to(dtype)
        found[f"{_file_key(key)}.lora_B.weight"] = folded.up.to(dtype)
    return found


def peft_settings(lora: Lora) -> dict[str, Any]:
    """PEFT's settings by part, as diffusers reads them from a file's `lora_adapter_metadata`.

    A text encoder's layers stand without `text_model.`, so that they end the names of every transformers.
    """
    found: dict[str, Any] = {}
    for part in dict.fromkeys(key.partition(".")[0] for key in lora.updates):
        ranks = {
            key.removeprefix(f"{part}.").removeprefix("text_model."): update.rank
            for key, update in lora.updates.items()
            if key.startswith(f"{part}.")
        }
        if not ranks:
            continue
        rank = max(ranks.values())
        others = {layer: own for layer, own in ranks.items() if own != rank}
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=sorted(ranks),
            rank_pattern=others,
            alpha_pattern=others,
        )
        found |= {f"{part}.{name}": _plain(value) for name, value in config.to_dict().items()}
    return found


def _file_key(key: str) -> str:
    part, _, layer = key.partition(".")
    return f"{part}.{text_layer(layer)}" if part in (TEXT_1, TEXT_2) else key


def _plain(value: Any) -> Any:
    """As JSON has it: PEFT keeps sets and enumerations."""
    if isinstance(value, set):
        return sorted(value)
    return getattr(value, "value", value)
