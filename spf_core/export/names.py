"""What other programs call a layer: the names of kohya's LoRA files and of the original checkpoints.

Parts and layers have diffusers' names: `unet` and `mid_block.attentions.0...to_q`. Public facts from the
files themselves: kohya-ss/sd-scripts writes `lora_unet_`, and `lora_te_` or, beside a second encoder,
`lora_te1_` and `lora_te2_`; the checkpoints of CompVis and Stability AI number `input_blocks`, `middle_block`
and `output_blocks`.
"""

import re

from spf_core.interfaces import Backbone

UNET, TEXT_1, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
PARTS = (UNET, TEXT_1, TEXT_2)

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_BLOCK = re.compile(
    r"(?:(down|up)_blocks\.(\d+)|(mid)_block)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
_OPEN_CLIP = (
    ("encoder.layers.", "transformer.resblocks."),
    (".self_attn.", ".attn."),
    (".layer_norm1", ".ln_1"),
    (".layer_norm2", ".ln_2"),
    (".mlp.fc1", ".mlp.c_fc"),
    (".mlp.fc2", ".mlp.c_proj"),
    ("final_layer_norm", "ln_final"),
    ("embeddings.token_embedding", "token_embedding"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
)


def has_kohya_names(backbone: Backbone) -> bool:
    """Whether these names are those of the backbone's layers: its denoiser is a UNet.

    Other architectures have names of their own in every client. A file in kohya's keys that no client reads
    would be worse than none, so that their LoRA is written in diffusers' keys.
    """
    return backbone.denoiser_name == UNET


def text_layer(layer: str) -> str:
    """A text encoder's layer as files name it: below `text_model.`, whether transformers nests it or not."""
    return layer if layer.startswith(("text_model.", "text_projection")) else f"text_model.{layer}"


def kohya_name(part: str, layer: str, *, two_encoders: bool) -> str:
    """The name in a kohya file, such as `lora_unet_mid_block_attentions_0_..._to_q`."""
    first = "lora_te1" if two_encoders else "lora_te"
    prefix = {UNET: "lora_unet", TEXT_1: first, TEXT_2: "lora_te2"}[part]
    return f"{prefix}_{(layer if part == UNET else text_layer(layer)).replace('.', '_')}"


def ldm_unet(name: str, layers_per_block: int, attention_above: tuple[bool, ...]) -> str:
    """A name in diffusers' UNet, of a layer or a parameter, as original checkpoints have it.

    `attention_above[i]` says whether up block i has attention, behind which its upsampler then stands.
    """
    for ours, theirs in _OUTSIDE.items():
        if name == ours or name.startswith(f"{ours}."):
            return theirs + name[len(ours) :]
    matched = _BLOCK.fullmatch(name)
    if matched is None:
        raise ValueError(f"no original checkpoint has a UNet layer like '{name}'")
    side, block, middle, kind, index, rest = matched.groups()
    if middle:
        place = 1 if kind == "attentions" else 2 * int(index)
        return f"middle_block.{place}.{_inner(kind, rest)}"
    number, length = int(block), layers_per_block + 1
    if side == "down":
        place = number * length + (length if kind == "downsamplers" else 1 + int(index))
        slot = 1 if kind == "attentions" else 0
        return f"input_blocks.{place}.{slot}.{_inner(kind, rest)}"
    place = number * length + (layers_per_block if kind == "upsamplers" else int(index))
    slot = {"resnets": 0, "attentions": 1, "upsamplers": 1 + attention_above[number]}[kind]
    return f"output_blocks.{place}.{slot}.{_inner(kind, rest)}"


def _inner(kind: str, rest: str) -> str:
    if kind == "downsamplers":
        return rest.replace("conv", "op", 1)
    if kind != "resnets":
        return rest
    head, dot, tail = rest.partition(".")
    return _RESNET[head] + dot + tail


def ldm_vae(name: str, up_blocks: int) -> str:
    """A parameter of AutoencoderKL as original checkpoints have it; the decoder counts blocks backwards."""
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)

    def reversed_block(matched: re.Match[str]) -> str:
        place = up_blocks - 1 - int(matched[1])
        return f"up.{place}.block." if matched[2] == "resnets." else f"up.{place}.upsample"

    name = re.sub(r"up_blocks\.(\d+)\.(resnets\.|upsamplers\.0)", reversed_block, name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    for ours, theirs in (
        ("mid_block.attentions.0", "mid.attn_1"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
        ("conv_shortcut", "nin_shortcut"),
        ("conv_norm_out", "norm_out"),
    ):
        name = name.replace(ours, theirs)
    return name


def open_clip(name: str) -> str:
    """A name in transformers' CLIP text model, without `text_model.`, as OpenCLIP has it."""
    for ours, theirs in _OPEN_CLIP:
        name = name.replace(ours, theirs)
    return name
