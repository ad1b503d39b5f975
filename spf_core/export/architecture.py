"""The layers of a base model, without its weights: what the keys of a LoRA file have to name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from spf_core.errors import RunError
from spf_core.export.checkpoint import attention_above
from spf_core.export.names import PARTS, TEXT_1, TEXT_2, UNET, ldm_unet, open_clip, text_layer
from spf_core.export.published import settings_of
from spf_core.interfaces import Backbone

SD15, SDXL = "sd_v1", "sdxl_base_v1-0"
FAMILIES = {SD15: 768, SDXL: 2048}  # the width of what their cross-attention reads tells them apart
_NAMES = {SD15: "sd15", SDXL: "sdxl"}


@dataclass(frozen=True)
class Architecture:
    """How to make the parts, on torch's meta device; `family` is None where other programs know none."""

    family: str | None
    make: Mapping[str, Callable[[], nn.Module]]

    def part(self, name: str) -> Any:
        """A new copy of a part without weights, which a LoRA may be loaded into."""
        with torch.device("meta"):
            return self.make[name]()

    @cached_property
    def parts(self) -> dict[str, Any]:
        """Every part once, not to be changed."""
        return {name: self.part(name) for name in PARTS if name in self.make}

    @property
    def two_encoders(self) -> bool:
        """Whether there is a second text encoder."""
        return TEXT_2 in self.make

    @cached_property
    def layers(self) -> dict[str, int]:
        """Size of the weight of every linear and convolutional layer, by part and layer as files say it."""
        return {
            f"{part}.{name if part == UNET else text_layer(name)}": prod(module.weight.shape)
            for part, model in self.parts.items()
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
        }

    @cached_property
    def original_names(self) -> dict[str, str]:
        """By layer, its name in the original code: that of the UNet or of the text encoder in question."""
        return {key: self.original_name(key) for key in self.layers}

    def original_name(self, key: str) -> str:
        """The same for any module, given by part and layer; ValueError for one that the original lacks."""
        part, _, layer = key.partition(".")
        if part == UNET:
            unet = self.parts[UNET]
            return ldm_unet(layer, unet.config.layers_per_block, attention_above(unet))
        return layer if part == TEXT_1 else open_clip(layer.removeprefix("text_model."))


def published(family: str) -> Architecture:
    """Stable Diffusion 1.5 or SDXL, from their public configurations; RunError for another family."""
    if family not in FAMILIES:
        raise RunError(
            f"the base '{family}' is neither {SD15} nor {SDXL}; give the run too, whose base model it is: "
            "spf export RUN --check FILE"
        )
    folder = settings_of(_NAMES[family])
    kinds = {TEXT_1: CLIPTextModel, TEXT_2: CLIPTextModelWithProjection}
    return Architecture(
        family,
        {
            UNET: lambda: UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / UNET)),
            **{
                name: partial(_encoder, kind, folder / name)
                for name, kind in kinds.items()
                if (folder / name).is_dir()
            },
        },
    )


def _encoder(kind: Any, folder: Path) -> nn.Module:
    model: nn.Module = kind(CLIPTextConfig.from_pretrained(folder))
    return model


def architecture_of(backbone: Backbone) -> Architecture:
    """A backbone's layers; the family is known where its width is that of a published one."""
    pipeline = backbone.pipeline()
    unet: Any = backbone.denoiser
    width, second = unet.config.cross_attention_dim, getattr(pipeline, TEXT_2, None)
    family = next((name for name, own in FAMILIES.items() if own == width), None)
    encoders = {TEXT_1: pipeline.text_encoder, **({TEXT_2: second} if second is not None else {})}

    def encoder(model: Any) -> Callable[[], nn.Module]:
        return lambda: type(model)(model.config)

    return Architecture(
        family,
        {
            UNET: lambda: type(unet).from_config(unet.config),
            **{part: encoder(model) for part, model in encoders.items()},
        },
    )
