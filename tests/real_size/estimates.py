"""What a step of the real models would take on a GPU, estimated without weights and without a GPU.

Printed as a table: `python tests/real_size/estimates.py`. The step is estimated on the CPU's kernels with the
fused attention of a GPU, with the text encoders away unless they are tuned, and with the number formats of
CUDA's autocast.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import torch
from diffusers import DDIMScheduler

from spf_plugins.backbones.layouts import kept_dtype

sys.path.insert(0, str(Path(__file__).parents[1]))

from models import CLIP_L, LAYOUTS, skeletons
from transformers import CLIPConfig, CLIPModel

from spf_core.config.loading import load_run_config
from spf_core.export.published import settings_of
from spf_core.plugins.discovery import load_plugins
from spf_core.testing.tiny_models import tiny_tokenizer
from spf_core.training.resources.memory_estimate import MemoryEstimate, estimate_memory
from spf_core.training.resources.preparation_estimate import estimate_preparation_memory
from spf_core.training.resources.run_estimate import WORKSPACE, peak_bytes, size_of
from spf_core.utils.fake_tensors import autocast_of_cuda
from spf_core.utils.prompts import Prompt
from spf_plugins.backbones import loading
from spf_plugins.backbones.stable_diffusion import StableDiffusion
from spf_plugins.backbones.stable_diffusion_xl import StableDiffusionXL

CASES = {"sd15": (StableDiffusion, 512), "sdxl": (StableDiffusionXL, 1024)}
PROMPTS = [Prompt("a portrait of an old man, red hair, in the park", "wearing a hat")]


def open_skeleton(kind: str, dtype: torch.dtype) -> Any:
    """The backbone with weights on the meta device."""
    cls, layout = CASES[kind][0], LAYOUTS[kind]
    networks = skeletons(layout)
    with torch.device("meta"):
        clip = CLIPModel(CLIPConfig(**CLIP_L)).to(dtype)
    for name, network in networks.items():
        network.to(kept_dtype(name, dtype)).requires_grad_(False).eval()
    tokenizers = {name: tiny_tokenizer() for name in layout.tokenizers}
    scheduler = DDIMScheduler.from_pretrained(settings_of(layout.name) / "scheduler")
    named = {**networks, **tokenizers, "scheduler": scheduler}
    middle = (0.5, 0.5, 0.5)
    parts = loading.Parts(named, {}, clip.requires_grad_(False).eval(), middle, middle)
    with patch.object(loading, "load_parts", return_value=parts):
        return cls(Path("nowhere"), dtype=dtype)


def estimate_rows(kind: str, preset: str, count: int = 200, pictures: int = 50) -> tuple[str, int]:
    """The dearest stage before the first step, of this many rows, and its peak in bytes."""
    options = [f"backbone={kind}", "train.precision=bf16"]
    config = load_run_config(load_plugins(), preset=preset, assignments=options)
    side = CASES[kind][1]
    with autocast_of_cuda():
        skeleton = open_skeleton(kind, torch.bfloat16)
        peaks = estimate_preparation_memory(config, skeleton, PROMPTS * count, pictures, (side, side)).peaks
    stage = max(peaks, key=lambda name: peaks[name])
    return stage, peaks[stage] + WORKSPACE


def estimate(
    kind: str,
    preset: str,
    checkpointing: bool,
    dtype: str = "bfloat16",
    *,
    texts: bool = False,
    quantize: str = "none",
) -> tuple[MemoryEstimate, int]:
    """The estimated step of one picture, and its peak in bytes."""
    options = [
        "train.batch_size=1",
        "train.precision=bf16",
        f"train.gradient_checkpointing={str(checkpointing).lower()}",
        *(["adapter.text_encoder=true"] if texts else []),
    ]
    config = load_run_config(load_plugins(), preset=preset, assignments=[f"backbone={kind}", *options])
    backbone, adapter = open_skeleton(kind, getattr(torch, dtype)), config.adapter.build()
    adapter.attach(backbone)
    side = CASES[kind][1]
    with autocast_of_cuda():
        model = config, backbone, adapter, PROMPTS, (side, side)
        found = estimate_memory(*model, quantize=quantize, parks=True)
    return found, peak_bytes(config, backbone, adapter, found) + WORKSPACE


def main() -> None:
    """Print the tables."""
    diffusers.utils.logging.set_verbosity_error()
    print("| model | preset | weights | checkpointing | kept for the backward pass | peak |")
    print("|---|---|---|---|---|---|")
    presets = (("lora", False), ("spf-joint", False), ("spf-joint", True), ("spf", False))
    for kind, (preset, texts), checkpointing in product(CASES, presets, (False, True)):
        found, peak = estimate(kind, preset, checkpointing, texts=texts)
        told = ("yes" if checkpointing else "no", size_of(found.kept), size_of(peak))
        what = f"`{preset}`{', text encoders too' if texts else ''}"
        print(f"| `{kind}`, {CASES[kind][1]} px | {what} | bfloat16 | {' | '.join(told)} |", flush=True)
    print("\n| model, `spf`, checkpointing | quantize | weights | peak |")
    print("|---|---|---|---|")
    for kind, quantize in product(CASES, ("none", "int8", "nf4")):
        found, peak = estimate(kind, "spf", True, quantize=quantize)
        weights = size_of(sum(found.weights.values()))
        print(f"| `{kind}`, {CASES[kind][1]} px | `{quantize}` | {weights} | {size_of(peak)} |", flush=True)
    print("\n| model | preset | dearest stage before the first step | peak |")
    print("|---|---|---|---|")
    for kind, preset in product(CASES, ("lora", "spf", "spf-joint")):
        stage, peak = estimate_rows(kind, preset)
        print(f"| `{kind}`, {CASES[kind][1]} px | `{preset}` | {stage} | {size_of(peak)} |", flush=True)


if __name__ == "__main__":
    main()
