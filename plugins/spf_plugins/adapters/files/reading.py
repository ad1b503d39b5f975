"""A LoRA file's updates, for the layers of a backbone: every layer with its own rank and alpha."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from torch import Tensor, nn

from spf_core.errors import RunError, short
from spf_core.export.architecture import architecture_of
from spf_core.export.known_names import LayerNames
from spf_core.export.names import TEXT_1, TEXT_2, UNET, has_kohya_names, text_layer
from spf_core.interfaces import Backbone, LowRankUpdate
from spf_core.runs.checkpoint import UNREADABLE
from spf_core.utils.json_text import parse_json
from spf_plugins.adapters.files.differences import Difference, is_complete, rank_of, update_of
from spf_plugins.adapters.files.keys import ALPHA, DOWN, by_layer
from spf_plugins.adapters.files.recognise import (
    base_called,
    base_of,
    read_weights,
    refuse_no_lora,
    refuse_other_base,
)

CHANGEABLE = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)
_SHOWN = 3
_MISFITS = (RuntimeError, ValueError, IndexError, TypeError)  # what tensors of other shapes lead to
_log = logging.getLogger("spf")


@dataclass(frozen=True)
class Layer:
    """A layer of the backbone that the file changes, and how; `key` is its part and path there."""

    key: str
    module: Any
    update: LowRankUpdate | Difference


def read_layers(file: Path, backbone: Backbone) -> list[Layer]:
    """The changed layers, in the order of the file; one warning names the keys that were not read.

    RunError when the file is damaged, holds no LoRA or belongs to another base model.
    """
    if not has_kohya_names(backbone):
        raise RunError(
            f"'{file}' cannot be read for a {type(backbone.pipeline()).__name__}: spf reads LoRA files for "
            "the UNets of sd15, sdxl and mini; choose one of these with --backbone"
        )
    tensors, metadata = read_weights(file)
    found, others = by_layer(tensors)
    if not any(is_complete(_of(tensors, roles)) for roles in found.values()):
        raise refuse_no_lora(file, tensors)
    names, modules = LayerNames(architecture_of(backbone)), _modules(backbone)
    scale, layers, misfits = _Scale(file, metadata), dict[str, Layer](), list[str]()
    for name, keys in found.items():
        key, roles = names.find(name), _of(tensors, keys)
        if key is None or key not in modules or key in layers or not is_complete(roles):
            others += keys.values()
            continue
        try:
            update = update_of(roles, scale(key, roles), modules[key][1])
        except _MISFITS:
            misfits.append(max(keys.values(), key=lambda each: tensors[each].numel()))
            continue
        layers[key] = Layer(*modules[key], update)
    _refuse_other_base(file, layers, misfits, found, tensors, metadata, backbone)
    if others:
        shown = ", ".join(f"'{short(key)}'" for key in others[:_SHOWN])
        more = ", ..." if len(others) > _SHOWN else ""
        _log.warning("'%s': %d of %d keys are not read: %s%s", file, len(others), len(tensors), shown, more)
    return list(layers.values())


def _of(tensors: Mapping[str, Tensor], keys: Mapping[str, str]) -> dict[str, Tensor]:
    return {role: tensors[key].float() for role, key in keys.items() if tensors[key].numel()}


def _modules(backbone: Backbone) -> dict[str, tuple[str, nn.Module]]:
    """The backbone's layers, with their part and path, by part and layer as files name them."""
    models = {UNET: backbone.denoiser} | {
        part: model
        for part, model in backbone.pipeline().components.items()
        if part in (TEXT_1, TEXT_2) and model is not None
    }
    return {
        f"{part}.{name if part == UNET else text_layer(name)}": (f"{part}.{name}", module)
        for part, model in models.items()
        for name, module in model.named_modules()
        if isinstance(module, CHANGEABLE)
    }


class _Scale:
    """alpha / rank of each layer: by its own tensor, else by the settings of PEFT in the metadata, else 1."""

    def __init__(self, file: Path, metadata: Mapping[str, str]) -> None:
        self._settings: dict[str, Any] = {}
        if raw := metadata.get(LORA_ADAPTER_METADATA_KEY):
            try:
                self._settings = dict(parse_json(raw))
            except UNREADABLE as error:
                reason = short(" ".join(str(error).split()))
                raise RunError(
                    f"'{file}' has damaged metadata on its scale ({reason}); get the file from its source"
                ) from None

    def __call__(self, key: str, roles: Mapping[str, Tensor]) -> float:
        """The scale of a layer; ValueError or TypeError where the file says something else than a number."""
        rank = rank_of(roles)
        if rank is None:
            return 1.0
        if ALPHA in roles:
            return roles[ALPHA].item() / rank
        part, _, layer = key.partition(".")
        alphas = self._settings.get(f"{part}.alpha_pattern") or {}
        own = [value for name, value in alphas.items() if f".{layer}".endswith(f".{name}")]
        alpha = float(own[0] if own else self._settings.get(f"{part}.lora_alpha", rank))
        return alpha / (rank**0.5 if self._settings.get(f"{part}.use_rslora") else rank)


def _refuse_other_base(
    file: Path,
    layers: Mapping[str, Layer],
    misfits: list[str],
    found: Mapping[str, Mapping[str, str]],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    backbone: Backbone,
) -> None:
    if layers and not misfits:
        return
    first_name = next(iter(found), "")
    reason = f"the base has none of its layers, as '{short(first_name)}'"
    if misfits:
        shape = "x".join(map(str, tensors[misfits[0]].shape))
        reason = f"'{short(misfits[0])}' of shape {shape} has another size than its layer"
    first = {name: keys[DOWN] for name, keys in found.items() if DOWN in keys}
    width: Any = backbone.denoiser.config.cross_attention_dim  # type: ignore[union-attr]
    base = f"a {type(backbone.pipeline()).__name__} of width {width}"
    looks_like = base_of(first, tensors, metadata)
    same = looks_like == base_called(width)  # of that size, and not one of its layers
    raise refuse_other_base(file, reason, None if same else looks_like, base)
