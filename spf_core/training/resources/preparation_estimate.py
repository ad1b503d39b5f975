"""Estimates the memory of preparation, as for a step: encoding, counterfactuals, the base model's images.

The preparation itself runs on tensors without values, with as many rows as it ever treats at once; what all
rows keep is reckoned from what these keep.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.interfaces import Backbone
from spf_core.interfaces.types import Conditioning, index
from spf_core.plugins.building import built
from spf_core.preparation.encoding import CHUNK, CachedRows, widen
from spf_core.preparation.relevance import pictures_at_once
from spf_core.preparation.rows import prepared_rows, recorded_states
from spf_core.runs.cache import cache_override
from spf_core.sampling.sampler import ROWS, mixed_precision
from spf_core.training.resources.memory_estimate import autocast, quantized, weights_of
from spf_core.utils.fake_tensors import Counted, weightless
from spf_core.utils.prompts import Prompt

AT_ONCE = max(CHUNK, ROWS)
TEXTS_AT_ONCE = 64
STEPS = 2  # of sampling: every one takes the same


@dataclass(frozen=True)
class PreparationEstimate:
    """Bytes on the device: at most in each stage, weights and rows included; `kept` by the rows later on."""

    peaks: Mapping[str, int]
    kept: int


def estimate_preparation_memory(
    config: RunConfig,
    backbone: Backbone,
    prompts: Sequence[Prompt],
    pictures: int,
    size: tuple[int, int],
    *,
    quantize: str = "none",
) -> PreparationEstimate:
    """Prepare a row for each prompt, of `pictures` pictures of width and height `size`.

    The backbone has no adapter yet; `quantize` as for `estimate_memory`. Raises what the preparation raises.
    """
    group = pictures_at_once(backbone, backbone.latent_shape(size[1], size[0])[2])
    some = prompts[: max(AT_ONCE, group)]
    shown = [row % min(pictures, group) for row in range(len(some))]
    with weightless(backbone.device, backbone) as (copied, tensors):
        tensors = quantized(copied, quantize, tensors)
        weights = sum(weights_of(copied, tensors, parked=False).values())
        with Counted(backbone.device) as memory:
            stages = Stages(memory)
            rows: Any = _encoded(config, copied, prompts, size, shown, pictures)
            stages("encoding")
            brief, latent = _brief(config, some), rows.latents_NCHW[0].numel() * rows.latents_NCHW.itemsize
            drawing = {"class_images": partial(_class_images, config, copied, rows.base, size, stages)}
            with cache_override(drawing), autocast(config.train.precision, backbone.device):
                rows = prepared_rows(copied, rows, brief.preparation, stages)
                del drawing
                stages("preparing")
                reference = built(config.reference) if config.reference else None
                states = recorded_states(copied, rows, brief.preparation, reference, stages)
            kept = memory.now
    others = len(prompts) - len(some)
    peaks = {name: peak + weights + held * others // len(some) for name, (peak, held) in stages.peaks.items()}
    kept += kept * others // len(some)
    if states is None:
        return PreparationEstimate(peaks, kept)
    visited = (config.drawing.steps - brief.sample.steps) * latent  # of a row, in the steps left out
    met = math.ceil(visited * config.sample.handover)
    texts = config.train.drawn_texts
    drawn = len(prompts) if texts is None else min(len(prompts), pictures * texts)
    earlier = max(drawn // len(some) * len(some) - len(some), 0)  # rows before the last whole part
    peaks["reference trajectories"] += met * earlier + visited * len(some)
    if config.reference and config.reference.recorded_states:
        peaks["reference states"] += met * drawn
        return PreparationEstimate(peaks, kept)
    return PreparationEstimate(peaks, kept + met * drawn)


@dataclass
class Stages:
    """Takes the place of a progress bar; of each stage that reports, the peak and what is left after it."""

    memory: Counted
    peaks: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __call__(self, stage: str, done: int = 0, total: int = 0, **_: float) -> None:
        """What was taken since the last report belongs to the stage."""
        self.peaks[stage] = max(self.peaks.get(stage, (0, 0)), (self.memory.peak, self.memory.now))
        self.memory.peak = self.memory.now


def _brief(config: RunConfig, prompts: Sequence[Prompt]) -> RunConfig:
    """The configuration with few sampling steps, letting go only phrases that these prompts have."""
    texts = " ".join(prompt.base_text for prompt in prompts).lower()
    release = tuple(word for word in config.train.release if word.lower() in texts)
    sample = config.sample.model_copy(update={"steps": min(STEPS, config.drawing.steps)})
    train = config.train.model_copy(update={"release": release, "drawing_steps": None})
    return config.model_copy(update={"sample": sample, "train": train})


@torch.no_grad()
def _encoded(
    config: RunConfig,
    backbone: Backbone,
    prompts: Sequence[Prompt],
    size: tuple[int, int],
    shown: Sequence[int],
    pictures: int,
) -> CachedRows:
    """As `encode_rows` gives them, as many rows as `shown` has.

    Texts are encoded with those of other rows.
    """
    (width, height), pictures = size, min(pictures, len(shown))
    prompts, others = prompts[: len(shown)], prompts[:TEXTS_AT_ONCE]
    embedded = "clean_image" in config.needs and not config.counterfactuals.enabled
    latents, embeds = [], []
    for begin in range(0, pictures, CHUNK):
        some = min(pictures, begin + CHUNK) - begin
        pixels = torch.zeros(some, 3, height, width, device=backbone.device)
        latents.append(backbone.encode_images(pixels))
        if embedded:
            embeds.append(backbone.embed_images(pixels))
    complete = backbone.encode_prompts(prompts, with_target=True)
    backbone.encode_prompts(others, with_target=True)
    targets = [Prompt(prompt.target_text or "") for prompt in prompts]
    target = backbone.encode_prompts(targets, with_target=False) if "target_text" in config.needs else None
    shown_N = torch.tensor(shown, device=backbone.device)
    latents_NCHW = torch.cat(latents)[shown_N]
    return CachedRows(
        ids=tuple(map(str, range(len(prompts)))),
        prompts=tuple(prompts),
        latents_NCHW=latents_NCHW,
        complete=complete,
        base=backbone.encode_prompts(prompts, with_target=False),
        empty=widen(backbone.encode_prompts([Prompt("")], with_target=False), complete.phrase_BPL.shape[1]),
        image_embeds_ND=torch.cat(embeds)[shown_N] if embeds else None,
        images=tuple(shown),
        target=target,
        mask_N1HW=torch.ones_like(latents_NCHW[:, :1]) if "masks" in config.needs else None,
    )


@torch.no_grad()
def _class_images(
    config: RunConfig,
    backbone: Backbone,
    base: Conditioning,
    size: tuple[int, int],
    stages: Stages,
    tensors: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """What drawing and encoding some of them takes."""
    (width, height), count, device = size, len(tensors["rows"]), backbone.device
    batch = min(config.sample.batch_size, len(base.embeds_BLD))
    _draw(config, backbone, base, torch.zeros(batch, *backbone.latent_shape(height, width), device=device))
    stages("class images")
    return {"latents": backbone.encode_images(torch.zeros(count, 3, height, width, device=device))}


def _draw(config: RunConfig, backbone: Backbone, base: Conditioning, z_t: Tensor) -> None:
    """As diffusers' pipelines do it, which predict with and without the text in one batch."""
    twice = torch.arange(len(z_t), device=backbone.device).repeat(2)
    texts, timesteps = index(base, twice), backbone.noise.at(0, len(twice)).to(backbone.device)
    with mixed_precision(backbone, config.sample):
        backbone.predict(z_t[twice], timesteps, index(texts, torch.arange(len(twice))))
        backbone.decode(z_t)
