"""A CLIP of open_clip's names, as HPSv2's checkpoints are, into transformers' CLIPModel."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from spf_core.runs.pretrained import load, quiet
from spf_lab.metrics.convert.files import (
    TOKENIZER,
    matched,
    need_base,
    need_sources,
    read_upstream,
    write_folder,
)

_WHOLE = {
    "logit_scale": "logit_scale",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_TRANSPOSED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)$")


def convert_hps(sources: Sequence[Path], out: Path, base: Path | None) -> None:
    """HPSv2's checkpoint with the configuration and tokenizer of the CLIP it was tuned from."""
    from transformers import CLIPConfig, CLIPModel

    need_sources(sources, "HPS_v2_compressed.pt or HPS_v2.1_compressed.pt")
    folder = need_base(base, "laion/CLIP-ViT-H-14-laion2B-s32B-b79K")
    with quiet():
        model = CLIPModel(load(CLIPConfig, folder))
    tensors = matched(transformers_names(read_upstream(sources[0])), model.state_dict(), f"'{sources[0]}'")
    copied = ("config.json", "preprocessor_config.json", *TOKENIZER)
    write_folder(out, tensors, sources, base=folder, copied=copied)


def transformers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same under transformers' names: joint q, k, v projections split, two projections transposed."""
    found = {}
    for name, value in tensors.items():
        block = _BLOCK.match(name)
        if name in _WHOLE:
            found[_WHOLE[name]] = value
        elif name in _TRANSPOSED:
            found[_TRANSPOSED[name]] = value.T.contiguous()
        elif block:
            tower = "vision_model" if block[1] else "text_model"
            found.update(_in_block(f"{tower}.encoder.layers.{block[2]}", block[3], block[4], value))
    return found


def _in_block(place: str, part: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    if part == "attn.in_proj":
        names = [f"{place}.self_attn.{letter}_proj.{kind}" for letter in "qkv"]
        return dict(zip(names, value.chunk(3), strict=True))
    return {f"{place}.{_IN_BLOCK[part]}.{kind}": value} if part in _IN_BLOCK else {}
