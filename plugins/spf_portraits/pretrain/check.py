"""Stage `check`: does the exported base model meet its bars? Written to `weights/mini/bars.json`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from transformers import CLIPModel

from spf_portraits.judges.load import Judges, load_judges
from spf_portraits.pretrain.card import write_card
from spf_portraits.pretrain.loop import batches
from spf_portraits.pretrain.recipe import GUIDANCE, RESOLUTION, SAMPLER_STEPS, Options
from spf_portraits.pretrain.zero_shot import zero_shot_accuracy
from spf_portraits.world.captions import describe
from spf_portraits.world.spec import ATTRIBUTES, TARGETS, Portrait, sample_portrait

PROMPTS = 200
TARGET_PROMPTS = 40
MEAN_BAR, LOWEST_BAR = 0.90, 0.75


def run_check(options: Options) -> None:
    """Sample, judge, write `bars.json` and the model card, print both bars."""
    folder = options.weights / "mini"
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    judges = load_judges(options.weights / "judges")
    clip = CLIPModel.from_pretrained(folder / "clip")
    bars = measure_bars(pipeline, judges) | {"zero_shot": zero_shot_accuracy(clip, pipeline.tokenizer)}
    temporary = folder / "bars.tmp"
    temporary.write_text(json.dumps(bars, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / "bars.json")
    write_card(options, bars)
    print(json.dumps(bars, indent=2), flush=True)


def sample(pipeline: StableDiffusionPipeline, prompts: list[str], seed: int, batch: int = 20) -> Tensor:
    """Portraits (N, 3, 64, 64) in [0, 1]; prompt i uses seed + i."""
    images = []
    for part in batches(len(prompts), batch):
        generators = [torch.Generator().manual_seed(seed + i) for i in range(part.start, part.stop)]
        output = pipeline(
            prompts[part],
            guidance_scale=GUIDANCE,
            num_inference_steps=SAMPLER_STEPS,
            generator=generators,
            output_type="pt",
            height=RESOLUTION,
            width=RESOLUTION,
        )
        images.append(output.images)
    return torch.cat(images)


def unseen(count: int, seed: int, target: str | None = None) -> tuple[list[Portrait], list[str]]:
    """Portraits of the test split and their complete captions."""
    rng = np.random.default_rng(seed)
    portraits = [sample_portrait(rng, target=target, split="test") for _ in range(count)]
    return portraits, [describe(portrait, rng).complete_text for portrait in portraits]


def measure_bars(pipeline: StableDiffusionPipeline, judges: Judges) -> dict[str, Any]:
    """Caption following on unseen prompts, determinism, re-seed agreement, and how far targets are known."""
    portraits, prompts = unseen(PROMPTS, seed=100)
    images = sample(pipeline, prompts, seed=0)
    again = sample(pipeline, prompts[:20], seed=0)
    read, reseeded = judges.labels(images), judges.labels(sample(pipeline, prompts, seed=10_000))
    pairs = list(zip(read, portraits, strict=True))
    accuracy = {
        name: share([labels[name] == getattr(portrait, name) for labels, portrait in pairs])
        for name in ATTRIBUTES
    }
    agreement = [a[name] == b[name] for a, b in zip(read, reseeded, strict=True) for name in ATTRIBUTES]
    mean = sum(accuracy.values()) / len(accuracy)
    return {
        "prompts": PROMPTS,
        "guidance": GUIDANCE,
        "sampler": f"DDIM, {SAMPLER_STEPS} steps",
        "accuracy": accuracy,
        "mean_accuracy": round(mean, 4),
        "meets_bars": mean >= MEAN_BAR and min(accuracy.values()) >= LOWEST_BAR,
        "same_seed_max_difference": float((images[:20] - again).abs().max()),
        "two_seeds_agree": share(agreement),
        "target_seen_without_asking": share([labels["target"] != "none" for labels in read]),
        "target_hits": {name: target_hits(pipeline, judges, name) for name in TARGETS},
    }


def target_hits(pipeline: StableDiffusionPipeline, judges: Judges, name: str) -> dict[str, Any]:
    """How often the base model shows a target that the prompt asks for."""
    _, prompts = unseen(TARGET_PROMPTS, seed=200, target=name)
    read = judges.labels(sample(pipeline, prompts, seed=20_000))
    return {"group": TARGETS[name].group, "hit_rate": share([labels["target"] == name for labels in read])}


def share(truths: list[bool]) -> float:
    """The share that is true, to four decimals."""
    return round(sum(truths) / len(truths), 4)
