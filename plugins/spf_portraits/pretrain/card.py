"""The model card of `weights/mini`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spf_portraits.pretrain.recipe import SETS, STAGES, Options

CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# mini: a Stable Diffusion 1.5 in small, for the embedded portraits

The classes of Stable Diffusion 1.5 (`AutoencoderKL`, `UNet2DConditionModel`, `CLIPTextModel`,
`CLIPTokenizer`) at 64 x 64 pixels with 16 x 16 x 4 latents, small enough to fine-tune on two CPU cores.
`StableDiffusionPipeline.from_pretrained` loads this folder as it is; `clip/` holds the whole contrastive
model whose text tower the pipeline uses. It draws the embedded portraits and nothing else, and every number
below is about the embedded portraits.

## Data
Procedural portraits, rendered on the fly from vector parts of `python_avatars` (MIT), with captions and
ground truth.
{sets}
The text encoder has met every target. The UNet has met the *weak* ones, captioned, in about 3 % of its
images in all, and the *novel* ones never.

## Training
AdamW, cosine decay, bfloat16 autocast, seed 0, on two CPU cores. Noise prediction on SD1.5's scaled-linear
schedule, SNR weight clipped to 0.1 to 5, 10 % empty captions, EMA 0.999. Losses are running means at the last
step. Beside the contrastive loss, linear heads read every captioned attribute from both embeddings of the
small CLIP: without them its text tower kept colours and forgot hair styles. Stage `text` goes on with that
tower alone, on captions written anew for every step, and also reads the attributes from the words: without
it the tower mixed up which colour belongs to what in unseen captions. The heads are dropped afterwards.
In half of the UNet's rows the end mark and the padding after it are those of the empty caption: the text
encoder is causal, so these tokens sum the caption up, and a UNet that always sees them reads nothing else.
This UNet took 11,500 steps on earlier text towers and recipes, and the steps in the table in a warm restart
on this one.

| stage | steps | batch | losses |
|---|---|---|---|
{stages}

## Bars
{prompts} unseen prompts (attribute combinations absent from training), complete captions, guidance
{guidance}, {sampler}, read by the attribute probe. The bar is a mean of 90 % and no attribute under
75 %: **{verdict}**. Mean {mean_accuracy:.1%}; two seeds of one prompt agree
on {two_seeds_agree:.1%} of the attributes; the same seed gives the same picture (largest difference
{same_seed_max_difference:.0e}).

| attribute | read as captioned | zero-shot by mini-CLIP | probe on renders | probe on reconstructions |
|---|---|---|---|---|
{attributes}

How often the base model shows a target that the prompt asks for ({target_seen_without_asking:.1%} of the
prompts without one are read as carrying one):

| target | group | hit rate |
|---|---|---|
{targets}

## Judges
Attribute probe, part segmenter and identity embedder in `../judges`, never used to train an adapter. Held
out: {heldout} portraits of unseen people. Segmenter: {pixel_accuracy:.1%} of the pixels, mean IoU
{mean_iou:.1%}. Identity: the other picture of a person is the nearest of all in {top1:.1%} of cases, AUC
{auc:.3f}.

What the judges say of a perfect edit: {portraits} unseen portraits and the very same rendered with the
target, both through the autoencoder. No method can be expected to score better (`ceiling.json`).

| target | SPS | hit rate | SPI | appearance | structure | layout | identity | attributes |
|---|---|---|---|---|---|---|---|---|
{ceilings}

## Licence
Weights: Apache-2.0. The avatar parts in the training images: `python_avatars`, MIT. Recipe: `python -m
spf_portraits.pretrain --stage all`.
"""


def write_card(options: Options, bars: Mapping[str, Any]) -> None:
    """Fill in and write `README.md`."""
    judged = json.loads((options.weights / "judges" / "config.json").read_text(encoding="utf-8"))["accuracy"]
    probe, segmenter = judged["probe"], judged["segmenter"]["renders"]
    columns = (bars["accuracy"], bars["zero_shot"], probe["renders"], probe["reconstructions"])
    attributes = (
        f"| {name} | " + " | ".join(f"{column[name]:.1%}" for column in columns) + " |"
        for name in bars["accuracy"]
    )
    targets = (
        f"| {name} | {hit['group']} | {hit['hit_rate']:.0%} |" for name, hit in bars["target_hits"].items()
    )
    training = json.loads((options.weights / "mini" / "training.json").read_text(encoding="utf-8"))
    ceiling = json.loads((options.weights / "judges" / "ceiling.json").read_text(encoding="utf-8"))
    text = CARD.format(
        **bars,
        verdict="met" if bars["meets_bars"] else "not met",
        **segmenter,
        **judged["identity"]["renders"],
        sets="\n".join(describe_set(plan.name, plan.count * plan.views, plan.target_rate) for plan in SETS),
        stages="\n".join(describe_stage(name, training[name]) for name in STAGES),
        attributes="\n".join(attributes),
        targets="\n".join(targets),
        heldout=judged["portraits"],
        portraits=ceiling["portraits"],
        ceilings="\n".join(describe_ceiling(name, row["all"]) for name, row in ceiling["targets"].items()),
    )
    (options.weights / "mini" / "README.md").write_text(text, encoding="utf-8")


def describe_set(name: str, count: int, rate: float) -> str:
    """A line about a rendered set."""
    return f"- `{name}`: {count:,} portraits, {rate:.0%} of them with a target"


def describe_ceiling(name: str, row: Mapping[str, float | None]) -> str:
    """A table row: a target's scores of the truth, a dash for parts that do not apply."""
    parts = ("spi", "appearance", "structure", "layout", "identity", "attributes")
    shown = ["-" if row[part] is None else f"{row[part]:.2f}" for part in parts]
    return f"| {name} | {row['sps']:.1f} | {row['hit_rate']:.0%} | " + " | ".join(shown) + " |"


def describe_stage(name: str, metadata: Mapping[str, str]) -> str:
    """A table row from what the stage left behind."""
    losses = ", ".join(
        f"{key} {value}" for key, value in sorted(metadata.items()) if key not in ("step", "before")
    )
    return f"| {name} | {metadata['step']} | {STAGES[name].batch} | {losses} |"
