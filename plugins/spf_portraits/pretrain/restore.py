"""Stage `restore`: fill an empty cache from the shipped weights, so that training can go on from them.

Optimizer states and averages are not shipped: what follows is a warm restart. The judges count as finished;
delete the checkpoint of one to train it anew.
"""

from __future__ import annotations

import json
import shutil

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPModel

from spf_core.runs.checkpoint import read_safetensors
from spf_portraits.pretrain.loop import checkpoint_path, save_tensors
from spf_portraits.pretrain.recipe import Options
from spf_portraits.pretrain.vae import cache_latents


def restore(options: Options) -> None:
    """Fill the cache: everything that training leaves there but the rendered sets."""
    restore_networks(options)
    cache_latents(options)


def restore_networks(options: Options) -> None:
    """Write the tokenizer and a checkpoint of every stage."""
    folder = options.weights / "mini"
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    clip = CLIPModel.from_pretrained(folder / "clip")
    networks: dict[str, nn.Module] = {
        "clip": clip,
        "text": clip,
        "vae": AutoencoderKL.from_pretrained(folder / "vae"),
        "unet": UNet2DConditionModel.from_pretrained(folder / "unet"),
    }
    shutil.copytree(folder / "tokenizer", options.cache / "tokenizer", dirs_exist_ok=True)
    for name, network in networks.items():
        write_checkpoint(name, network, training.get(name, {}), options)
    for name in ("probe", "segmenter", "identity"):
        write_judge(name, training[name], options)
    print(f"restored {', '.join(networks)} and the judges from {options.weights}", flush=True)


def write_checkpoint(name: str, network: nn.Module, training: dict[str, str], options: Options) -> None:
    """A checkpoint at step 0 that remembers how many steps came before."""
    before = int(training.get("before", 0)) + int(training.get("step", 0))
    wrapper = "clip." if name in ("clip", "text") else ""
    tensors: dict[str, Tensor] = {}
    for kind in ("network", "ema"):
        tensors |= {
            f"{kind}.{wrapper}{key}": value.detach().float().clone()
            for key, value in network.state_dict().items()
        }
    save_tensors(tensors, checkpoint_path(options.cache, name), {"step": "0", "before": str(before)})


def write_judge(name: str, training: dict[str, str], options: Options) -> None:
    """A finished checkpoint of a judge."""
    tensors, _ = read_safetensors(options.weights / "judges" / f"{name}.safetensors")
    weights = {
        f"network.{key}": value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    save_tensors(weights, checkpoint_path(options.cache, name), training)
