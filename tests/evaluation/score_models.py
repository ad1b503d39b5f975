"""Tiny random networks of the real classes, saved the way their weights are published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

FACE_LABELS = ("background", "skin", "l_eye", "r_eye", "mouth", "u_lip", "l_lip", "hair", "hat")


def processor(folder: Path, kind: str, side: int, **more: Any) -> None:
    settings = {
        "image_processor_type": kind,
        "do_resize": True,
        "size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **more}), encoding="utf-8")


def save(model: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    return folder


def clip_folder(folder: Path, pipeline: Path) -> Path:
    """The tiny pipeline's CLIP and tokenizer in one folder, as CLIP models are published."""
    shutil.copytree(pipeline / "clip", folder)
    shutil.copytree(pipeline / "tokenizer", folder, dirs_exist_ok=True)
    shortest = {
        "size": {"shortest_edge": 24},
        "do_center_crop": True,
        "crop_size": {"height": 24, "width": 24},
    }
    processor(folder, "CLIPImageProcessor", 24, resample=3, do_convert_rgb=True, **shortest)
    return folder


def siglip_folder(folder: Path, pipeline: Path) -> Path:
    """A tiny random SigLIP with the tiny pipeline's tokenizer, whose texts it reads at 64 tokens."""
    from transformers import AutoTokenizer, SiglipConfig, SiglipModel

    torch.manual_seed(11)
    tokenizer = AutoTokenizer.from_pretrained(pipeline / "tokenizer")
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = tower | {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    vision = tower | {"image_size": 24, "patch_size": 8}
    save(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), folder)
    tokenizer.save_pretrained(folder)
    processor(folder, "SiglipImageProcessor", 24, resample=3)
    return folder


def dino_folder(folder: Path) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    save(Dinov2Model(config), folder)
    processor(folder, "BitImageProcessor", 28, resample=3)
    return folder


def parser_folder(folder: Path) -> Path:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    torch.manual_seed(2)
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(FACE_LABELS)),
        label2id={name: number for number, name in enumerate(FACE_LABELS)},
    )
    save(SegformerForSemanticSegmentation(config), folder)
    processor(folder, "SegformerImageProcessor", 32, resample=2, do_reduce_labels=False)
    return folder


def sam_folder(folder: Path) -> Path:
    from transformers import SamConfig, SamModel

    torch.manual_seed(10)
    small = {"hidden_size": 16, "num_attention_heads": 2}
    config = SamConfig(
        vision_config=small
        | {
            "output_channels": 16,
            "num_hidden_layers": 2,
            "image_size": 64,
            "patch_size": 16,
            "mlp_dim": 32,
            "num_pos_feats": 8,
            "window_size": 2,
            "global_attn_indexes": [1],
        },
        prompt_encoder_config={
            "hidden_size": 16,
            "image_size": 64,
            "patch_size": 16,
            "mask_input_channels": 4,
        },
        mask_decoder_config=small | {"mlp_dim": 32, "num_hidden_layers": 1, "iou_head_hidden_dim": 16},
    )
    model = SamModel(config)
    for parameter in model.parameters():  # away from zero, so that pictures matter
        parameter.data += 0.5 * torch.randn(parameter.shape)
    save(model, folder)
    padded = {"do_pad": True, "pad_size": {"height": 64, "width": 64}, "size": {"longest_edge": 64}}
    processor(folder, "SamImageProcessor", 64, **padded)
    return folder


def lpips_file(file: Path, network: str = "alex") -> Path:
    """Heads are positive, as the published ones."""
    from spf_lab.metrics.networks.lpips import Lpips

    torch.manual_seed(3)
    weights = {
        name: value.abs() if "lin" in name else value for name, value in Lpips(network).state_dict().items()
    }
    return write(file, weights)


def inception_file(file: Path) -> Path:
    from spf_lab.metrics.networks.inception import Inception

    torch.manual_seed(4)
    return write(file, Inception().state_dict())


def arcface_file(file: Path) -> Path:
    from spf_lab.metrics.networks.iresnet import IResNet

    torch.manual_seed(5)
    return write(file, IResNet((4, 4, 8, 8, 8), (1, 2, 1, 1), 16).state_dict())


def write(file: Path, weights: dict[str, torch.Tensor]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, file)
    return file


def metrics_home(home: Path, pipeline: Path) -> Path:
    """All of them under the names that scores look for."""
    clip_folder(home / "clip", pipeline)
    dino_folder(home / "dinov2")
    parser_folder(home / "face-parsing")
    sam_folder(home / "sam")
    lpips_file(home / "lpips-alex.safetensors")
    inception_file(home / "inception" / "model.safetensors")
    arcface_file(home / "arcface.safetensors")
    return home
