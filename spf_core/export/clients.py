"""How other programs match the keys of a LoRA file with layers, and at which scale they apply it.

The check runs diffusers itself. For the others, it restates only the naming rules, from their public sources:
ComfyUI `comfy/lora.py` and `comfy/weight_adapter/lora.py`; Forge (lllyasviel/stable-diffusion-webui-forge),
which took over ComfyUI's tables, `extensions-builtin/sd_forge_lora/networks.py`; A1111 `networks.py` and
`network.py` in `extensions-builtin/Lora`; InvokeAI `patches/lora_conversions`, `layer_patcher.py` and the
probe of a LoRA's base; kohya-ss/sd-scripts `networks/lora.py` and `library/sdxl_model_util.py`.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import diffusers as library
from diffusers.utils import logging as diffusers_logging
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor

from spf_core.export.architecture import FAMILIES, SD15, SDXL, Architecture
from spf_core.export.names import TEXT_1, TEXT_2, UNET, kohya_name, text_layer
from spf_core.runs.pretrained import quiet

Tensors = Mapping[str, Tensor]
Scales = dict[str, float]  # by layer, as in `unet.mid_block...to_q`
FORGE_UNMATCHED = 12  # keys that Forge puts up with
STYLES = (  # of the two factors: what follows the name of a layer
    (".lora_down.weight", ".lora_up.weight"),
    ("_lora.down.weight", "_lora.up.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora.down.weight", ".lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
)


@dataclass(frozen=True)
class Pair:
    """The two factors of one layer in a file, under the layer's name there, and how they follow it."""

    name: str
    down: Tensor
    up: Tensor
    alpha: float | None
    style: str

    @property
    def scale(self) -> float:
        """What clients take that know of no alpha but the tensor's: alpha / rank, or 1 without it."""
        return 1.0 if self.alpha is None else self.alpha / len(self.down)

    @property
    def ends(self) -> tuple[str, ...]:
        """What follows the name in the keys that belong to it."""
        up = next(second for first, second in STYLES if first == self.style)
        return self.style, up, ".alpha", ".dora_scale"

    def fits(self, size: int) -> bool:
        """Whether up times down has as many entries as a layer's weight."""
        return len(self.up) * self.down[0].numel() == size


def pairs_of(tensors: Tensors) -> list[Pair]:
    """Every pair of factors in a file."""
    found = []
    for key, down in tensors.items():
        for first, second in STYLES:
            name = key.removesuffix(first)
            if name != key and (up := tensors.get(name + second)) is not None:
                alpha = tensors.get(f"{name}.alpha")
                found.append(Pair(name, down, up, None if alpha is None else alpha.item(), first))
    return found


def diffusers(tensors: Tensors, metadata: Mapping[str, Any] | None, base: Architecture) -> Scales:
    """Loaded by the installed diffusers, into the architecture without weights."""
    unet = base.part(UNET)
    found: Scales = {}
    with _silent(), suppress(ValueError, KeyError, TypeError, RuntimeError):  # what a refused key raises
        pipeline = getattr(library, f"StableDiffusion{'XL' if base.two_encoders else ''}Pipeline")
        state, alphas, _ = pipeline.lora_state_dict(
            dict(tensors), unet_config=unet.config, return_lora_metadata=True
        )
        options = {"network_alphas": alphas, "metadata": metadata, "adapter_name": "checked"}
        pipeline.load_lora_into_unet(state, unet=unet, low_cpu_mem_usage=True, **options)
        found |= _injected(UNET, unet)
        for part in (TEXT_1, TEXT_2):
            if part in base.make and any(key.startswith(f"{part}.") for key in state):
                encoder = base.part(part)
                pipeline.load_lora_into_text_encoder(
                    state, text_encoder=encoder, prefix=part, low_cpu_mem_usage=True, **options
                )
                found |= _injected(part, encoder)
    return found


@contextmanager
def _silent() -> Iterator[None]:
    """Hold back what diffusers and PEFT say of keys: the verdict says it."""
    before = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(before)


def _injected(part: str, model: Any) -> Scales:
    """The layers that were given the file's factors, whose shapes are checked by then."""
    return {
        f"{part}.{name if part == UNET else text_layer(name)}": layer.scaling["checked"]
        for name, layer in model.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }


def comfyui(tensors: Tensors, base: Architecture) -> Scales:
    """A dictionary from every known name of every layer; each name may carry each style of factors."""
    names = _comfy_names(base)
    return {
        names[pair.name]: pair.scale
        for pair in pairs_of(tensors)
        if pair.name in names and pair.fits(base.layers[names[pair.name]])
    }


def forge(tensors: Tensors, base: Architecture) -> Scales:
    """ComfyUI's names; but of a file with more than 12 keys that match no layer it applies nothing."""
    names = _comfy_names(base)
    matched = {f"{pair.name}{end}" for pair in pairs_of(tensors) if pair.name in names for end in pair.ends}
    return comfyui(tensors, base) if len(set(tensors) - matched) <= FORGE_UNMATCHED else {}


def _comfy_names(base: Architecture) -> dict[str, str]:
    names: dict[str, str] = {}
    for key in base.layers:
        part, _, layer = key.partition(".")
        for name in _comfy_unet(base, key, layer) if part == UNET else _comfy_text(part, layer):
            names[name] = key
    return names


def _comfy_unet(base: Architecture, key: str, layer: str) -> Iterable[str]:
    original = base.original_names[key]
    for flat in (original.replace(".", "_"), layer.replace(".", "_")):
        yield f"lora_unet_{flat}"
    yield f"lycoris_{layer.replace('.', '_')}"
    yield f"diffusion_model.{original}"
    older = layer.replace(".to_", ".processor.to_")  # so that plain `attn1.to_q` is not known
    older = older.removesuffix(".0") if older.endswith(".to_out.0") else older
    yield from (older, f"unet.{older}")


def _comfy_text(part: str, layer: str) -> Iterable[str]:
    if not layer.startswith("text_model.encoder.layers."):
        return
    flat = layer.replace(".", "_")
    prefixes = ("lora_te", "lora_te1") if part == TEXT_1 else ("lora_te2",)
    yield from (f"{prefix}_{flat}" for prefix in prefixes)
    yield f"{part}.{layer}"


_A1111_RESNET = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "norm1": "in_layers_0",
    "norm2": "out_layers_0",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_Rule = tuple[str, Callable[[re.Match[str]], str]]


def _a1111_resnet(kind: str, rest: str) -> str:
    return _A1111_RESNET.get(rest, rest) if kind == "resnets" else rest


_A1111_RULES: tuple[_Rule, ...] = (
    (r"lora_unet_conv_in", lambda m: "diffusion_model_input_blocks_0_0"),
    (r"lora_unet_conv_out", lambda m: "diffusion_model_out_2"),
    (
        r"lora_unet_time_embedding_linear_(\d+)",
        lambda m: f"diffusion_model_time_embed_{2 * int(m[1]) - 2}",
    ),
    (
        r"lora_unet_down_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)",
        lambda m: (
            f"diffusion_model_input_blocks_{1 + 3 * int(m[1]) + int(m[3])}_{int(m[2] == 'attentions')}_"
            + _a1111_resnet(m[2], m[4])
        ),
    ),
    (
        r"lora_unet_mid_block_(attentions|resnets)_(\d+)_(.+)",
        lambda m: (
            f"diffusion_model_middle_block_{1 if m[1] == 'attentions' else 2 * int(m[2])}_"
            + _a1111_resnet(m[1], m[3])
        ),
    ),
    (
        r"lora_unet_up_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)",
        lambda m: (
            f"diffusion_model_output_blocks_{3 * int(m[1]) + int(m[3])}_{int(m[2] == 'attentions')}_"
            + _a1111_resnet(m[2], m[4])
        ),
    ),
    (
        r"lora_unet_down_blocks_(\d+)_downsamplers_0_conv",
        lambda m: f"diffusion_model_input_blocks_{3 + 3 * int(m[1])}_0_op",
    ),
    (  # its rule is that of Stable Diffusion 1.5, whose first up block has no attention
        r"lora_unet_up_blocks_(\d+)_upsamplers_0_conv",
        lambda m: f"diffusion_model_output_blocks_{2 + 3 * int(m[1])}_{2 if int(m[1]) else 1}_conv",
    ),
    (
        r"lora_te_text_model_encoder_layers_(.+)",
        lambda m: f"transformer_text_model_encoder_layers_{m[1]}",
    ),
    (
        r"lora_te2_text_model_encoder_layers_(\d+)_(.+)",
        lambda m: (
            f"1_model_transformer_resblocks_{m[1]}_"
            + m[2]
            .replace("mlp_fc1", "mlp_c_fc")
            .replace("mlp_fc2", "mlp_c_proj")
            .replace("self_attn", "attn")
        ),
    ),
)


def a1111(tensors: Tensors, base: Architecture) -> Scales:
    """Names end at the first dot; kohya's are rewritten to the original model's modules by rules."""
    modules = {}
    for key, original in base.original_names.items():
        part = key.partition(".")[0]
        first = "0_transformer_" if base.two_encoders else "transformer_"
        prefix = {UNET: "diffusion_model_", TEXT_1: first, TEXT_2: "1_model_"}[part]
        modules[prefix + original.replace(".", "_")] = key
    found = {}
    for pair in pairs_of(tensors):
        if "." not in pair.name and pair.style == ".lora_down.weight":
            known = [modules[name] for name in _a1111_tries(pair.name) if name in modules]
            if known and pair.fits(base.layers[known[0]]):
                found[known[0]] = pair.scale
    return {key: scale for key, scale in found.items() if _a1111_takes(key, found)}


def _a1111_takes(key: str, found: Scales) -> bool:
    """Of OpenCLIP's attention, one module there, it takes queries, keys, values and output or none."""
    layer, _, last = key.rpartition(".")
    if not key.startswith(f"{TEXT_2}.") or last not in _ATTENTION:
        return True
    return all(f"{layer}.{each}" in found for each in _ATTENTION)


def _a1111_tries(name: str) -> Iterable[str]:
    for pattern, rewritten in _A1111_RULES:
        if matched := re.fullmatch(pattern, name):
            yield rewritten(matched)
    yield name
    if "lora_unet" in name:
        yield name.replace("lora_unet", "diffusion_model")
    elif "lora_te1_text_model" in name:
        yield name.replace("lora_te1_text_model", "0_transformer_text_model")
        yield name.replace("lora_te1_text_model", "transformer_text_model")


def invokeai(tensors: Tensors, base: Architecture) -> Scales:
    """Names end at the first dot and are walked through diffusers' modules; the base is read off the file."""
    pairs = [pair for pair in pairs_of(tensors) if "." not in pair.name and pair.style == ".lora_down.weight"]
    if _invoke_family(pairs) != base.family:
        return {}
    flat = {_invoke_name(base, key): key for key in base.layers}
    if base.family == SDXL:
        if not all(key.startswith(("lora_unet_", "lora_te1_", "lora_te2_")) for key in tensors):
            return {}  # it raises at any other prefix
        originals = {
            f"lora_unet_{name.replace('.', '_')}": key
            for key, name in base.original_names.items()
            if key.startswith(f"{UNET}.")
        }
        in_original = [p.name in originals for p in pairs if p.name.startswith("lora_unet_")]
        if any(in_original):
            if not all(in_original):
                return {}  # and at a mixture of both layouts
            flat |= originals
    return {
        flat[pair.name]: pair.scale
        for pair in pairs
        if pair.name in flat and pair.fits(base.layers[flat[pair.name]])
    }


def _invoke_name(base: Architecture, key: str) -> str:
    part, _, layer = key.partition(".")
    first = "lora_te1_" if base.two_encoders else "lora_te_"
    return {UNET: "lora_unet_", TEXT_1: first, TEXT_2: "lora_te2_"}[part] + layer.replace(".", "_")


def _invoke_family(pairs: Iterable[Pair]) -> str | None:
    """From the width of what cross-attention reads, the encoders' names, or blocks that only SDXL has."""
    widths = {own: name for name, own in FAMILIES.items()}
    for pair in pairs:
        if pair.name.endswith(("attn2_to_k", "attn2_to_v")):
            return widths.get(pair.down.shape[1])
        if pair.name.startswith(("lora_te1_", "lora_te2_")):
            return SDXL
        if pair.name.startswith("lora_te_"):
            return SD15
    deep = any(re.search(r"transformer_blocks_([2-9]|\d\d)_", pair.name) for pair in pairs)
    return SDXL if deep else None


def kohya(tensors: Tensors, base: Architecture) -> Scales:
    """Layers inside transformers, resnets and samplers, and inside the encoders' attention and MLPs.

    So that it loses what stands outside the blocks: `conv_in`, `conv_out` and the embeddings. Of SDXL's UNet
    it knows the original names, and rewrites diffusers'. Factors of another shape stop it.
    """
    names = {name: key for key in base.layers for name in _kohya_names(base, key)}
    found: Scales = {}
    for pair in pairs_of(tensors):
        if pair.name in names and pair.style == ".lora_down.weight":
            if not pair.fits(base.layers[names[pair.name]]):
                return {}
            found[names[pair.name]] = pair.scale
    return found


def _kohya_names(base: Architecture, key: str) -> Iterable[str]:
    part, _, layer = key.partition(".")
    inside = ".attentions.", ".resnets.", "samplers.", ".self_attn.", ".mlp."
    if not any(each in key for each in inside):
        return
    yield kohya_name(part, layer, two_encoders=base.two_encoders)
    if part == UNET and base.two_encoders:
        yield f"lora_unet_{base.original_names[key].replace('.', '_')}"
