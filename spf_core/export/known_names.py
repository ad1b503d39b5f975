"""Every name that trainers and programs give a layer of Stable Diffusion 1.5 and SDXL.

Public facts from the files themselves. kohya-ss/sd-scripts and LyCORIS write `lora_unet_` or `lycoris_`, and
`lora_te_`, `lora_te1_` or `lora_te2_`; diffusers and PEFT write the part, `base_model.model.` or nothing;
OneTrainer writes kohya's names, in newer versions with dots, or `unet.`, `clip_l.` and `clip_g.`; programs of
the original code number the UNet's blocks, below `diffusion_model.` or any of these.
"""

from collections.abc import Iterator
from contextlib import suppress

from torch import nn

from spf_core.export.architecture import Architecture
from spf_core.export.names import TEXT_1, TEXT_2, UNET, text_layer

_PREFIXES: dict[str, tuple[str, ...]] = {
    UNET: (
        *("lora_unet_", "lycoris_unet_", "lycoris_", "unet_", "diffusion_model_", "model_diffusion_model_"),
        *("unet_base_model_model_", ""),
    ),
    TEXT_1: (
        *("lora_te_", "lora_te1_", "lycoris_te_", "lycoris_te1_", "text_encoder_", "clip_l_"),
        *("text_encoder_base_model_model_", "text_encoders_clip_l_transformer_"),
    ),
    TEXT_2: (
        *("lora_te2_", "lycoris_te2_", "text_encoder_2_", "clip_g_"),
        *("text_encoder_2_base_model_model_", "text_encoders_clip_g_transformer_"),
    ),
}


class LayerNames:
    """The layers of an architecture by every name that files give them, with dots or with underscores."""

    def __init__(self, base: Architecture) -> None:
        self._known: dict[str, dict[str, str]] = {part: {} for part in base.parts}
        for part, model in base.parts.items():
            for name, module in model.named_modules():
                if isinstance(getattr(module, "weight", None), nn.Parameter):
                    layer = name if part == UNET else text_layer(name)
                    for known in _names(base, part, layer):
                        self._known[part].setdefault(known.replace(".", "_"), f"{part}.{layer}")

    def find(self, name: str) -> str | None:
        """The layer, as in `unet.mid_block...to_q`; None for a name that no layer has."""
        flat = name.replace(".", "_").removeprefix("base_model_model_")  # PEFT, before whatever it wrapped
        for part, known in self._known.items():
            for prefix in _PREFIXES[part]:
                if flat.startswith(prefix) and (key := known.get(flat.removeprefix(prefix))):
                    return key
        return None


def _names(base: Architecture, part: str, layer: str) -> Iterator[str]:
    yield layer
    with suppress(ValueError):  # a module that the original code has no name for
        yield base.original_name(f"{part}.{layer}")
    if part != UNET:
        yield layer.removeprefix("text_model.")
    elif ".to_" in layer:  # diffusers kept LoRA layers in its attention processors once
        older = layer.replace(".to_", ".processor.to_")
        yield older.removesuffix(".0") if older.endswith(".to_out.0") else older
