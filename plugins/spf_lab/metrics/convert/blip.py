"""ImageReward's checkpoint, with the names of timm's ViT and of BERT, into those of transformers' BLIP."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from spf_core.errors import RunError
from spf_lab.metrics.convert.files import matched, need_base, need_sources, read_upstream, write_folder

HEAD_WIDTH = 64  # of an attention head, in both towers of every BLIP
_VISION = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^norm\.", "post_layernorm."),
    (r"^blocks\.(\d+)\.", r"encoder.layers.\1."),
    (r"\.attn\.qkv\.", ".self_attn.qkv."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.norm([12])\.", r".layer_norm\1."),
)


def convert_image_reward(sources: Sequence[Path], out: Path, base: Path | None) -> None:
    """`ImageReward.pt` with the tokenizer of the BERT whose words it reads."""
    from spf_lab.metrics.networks.image_reward import ImageReward, config_of

    need_sources(sources, "ImageReward.pt")
    folder = need_base(base, "bert-base-uncased")
    tensors = transformers_names(read_upstream(sources[0]))
    try:
        config = blip_config(tensors)
    except (KeyError, ValueError) as error:
        raise RunError(
            f"'{sources[0]}' is no ImageReward: it lacks the tensor {error}; give ImageReward.pt"
        ) from None
    wanted = ImageReward(config_of(config), _head_widths(tensors)).state_dict()
    kept = matched(tensors, wanted, f"'{sources[0]}'")
    write_folder(out, kept, sources, base=folder, configs={"config.json": json.dumps(config, indent=2)})


def transformers_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`vision_model`, `text_encoder` and `mlp` with the names of transformers' BLIP."""
    found = {}
    for name, value in tensors.items():
        if name.startswith("blip.visual_encoder."):
            place = name.removeprefix("blip.visual_encoder.")
            for pattern, replacement in _VISION:
                place = re.sub(pattern, replacement, place)
            found[f"vision_model.{place}"] = value
        elif name.startswith("blip.text_encoder."):
            found[name.removeprefix("blip.")] = value
        elif name.startswith("mlp."):
            found[name] = value
    return found


def blip_config(tensors: Mapping[str, Tensor], head_width: int = HEAD_WIDTH) -> dict[str, Any]:
    """The sizes that the tensors tell, as the configuration of a BLIP; KeyError when it is none."""
    words, patches = tensors["text_encoder.embeddings.word_embeddings.weight"], tensors[_PATCH]
    text, vision, patch = words.shape[1], patches.shape[0], patches.shape[-1]
    grid = round((tensors["vision_model.embeddings.position_embedding"].shape[1] - 1) ** 0.5)
    return {
        "model_type": "blip",
        "text_config": {
            "vocab_size": words.shape[0],  # BERT's and two marks of BLIP
            "hidden_size": text,
            "encoder_hidden_size": vision,
            "intermediate_size": len(tensors["text_encoder.encoder.layer.0.intermediate.dense.weight"]),
            "num_hidden_layers": _count(tensors, r"text_encoder\.encoder\.layer\.(\d+)\."),
            "num_attention_heads": max(1, text // head_width),
            "max_position_embeddings": len(tensors["text_encoder.embeddings.position_embeddings.weight"]),
            "is_decoder": True,  # gives every layer its cross-attention
            "bos_token_id": 0,
            "sep_token_id": 0,
        },
        "vision_config": {
            "hidden_size": vision,
            "intermediate_size": len(tensors["vision_model.encoder.layers.0.mlp.fc1.weight"]),
            "num_hidden_layers": _count(tensors, r"vision_model\.encoder\.layers\.(\d+)\."),
            "num_attention_heads": max(1, vision // head_width),
            "image_size": grid * patch,
            "patch_size": patch,
            "layer_norm_eps": 1e-6,  # timm's; transformers' default is another
        },
    }


_PATCH = "vision_model.embeddings.patch_embedding.weight"


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for found in (re.match(pattern, name) for name in tensors) if found)


def _head_widths(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    places = sorted(name for name in tensors if re.match(r"mlp\.layers\.\d+\.weight$", name))
    return tuple(tensors[name].shape[0] for name in places)
