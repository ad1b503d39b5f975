"""Pictures of a run: same-seed grids and overlays of control map and target attention."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spf_core.config.sections import SampleSection
from spf_core.dual_path.noising import noise_latents
from spf_core.dual_path.parts import Parts
from spf_core.dual_path.step import run_paths
from spf_core.dual_path.step_sampling import Texts
from spf_core.helpers import attention_to, clean_estimate
from spf_core.interfaces.types import Batch, Capture
from spf_core.preparation.buckets import BucketedRows
from spf_core.preparation.encoding import CachedRows
from spf_core.sampling.sampler import BeforeHandover, comparison_grid, sample_images, save_png
from spf_core.utils.pixels import to_images
from spf_core.utils.prompts import Prompt

NOISE_LEVELS = (0.8, 0.5, 0.2)


def save_samples(
    folder: Path | None,
    step: int,
    parts: Parts,
    rows: CachedRows | BucketedRows,
    options: SampleSection,
    seed: int,
) -> dict[str, Image.Image]:
    """Write (into a `folder`) and return what there is to see after `step`, as `step-NNNNNN-NAME.png`.

    `grid` shows training texts and `prompts` those of `sample.validation_prompts`, each drawn by the original
    and the tuned model with the same seeds; `maps` are the overlays.
    """
    batch = rows.batch(rows.first(options.prompts))
    own = [Prompt(prompt.base_text, prompt.target_text) for prompt in options.validation_prompts]
    shown = {"grid": batch.prompts, "maps": batch.prompts, **({"prompts": own} if own else {})}
    pictures = {}
    for name, prompts in shown.items():
        if name == "maps":
            pictures[name] = map_overlays(parts, batch, seed)
        else:
            pictures[name] = _comparison(parts, prompts, options, seed)
        seeds = ", ".join(str(seed + row) for row in range(len(prompts)))
        texts = "\n".join(prompt.complete_text for prompt in prompts)
        metadata = {"step": str(step), "texts": texts, "seeds": seeds}
        if folder:
            save_png(pictures[name], folder / f"step-{step:06d}-{name}.png", metadata)
    return pictures


def _comparison(parts: Parts, prompts: Sequence[Prompt], options: SampleSection, seed: int) -> Image.Image:
    """The original model's pictures of the complete texts above those of the tuned one."""
    texts = [prompt.complete_text for prompt in prompts]
    seeds = [seed + row for row in range(len(prompts))]
    before_handover = BeforeHandover([prompt.base_text for prompt in prompts], parts.adapter)
    with parts.adapter.disabled():
        original = sample_images(parts.backbone, texts, seeds, options, before_handover=before_handover)
    tuned = sample_images(parts.backbone, texts, seeds, options, before_handover=before_handover)
    return comparison_grid({"original": original, "tuned": tuned}, texts)


@torch.no_grad()
def map_overlays(parts: Parts, batch: Batch, seed: int) -> Image.Image:
    """Training images with the control map and the target's attention at three noise levels."""
    parts = replace(parts, control_map=deepcopy(parts.control_map))  # looking must not change training
    count = len(batch.ids)
    generator = torch.Generator().manual_seed(seed)
    images = {"image": to_images(parts.backbone.decode(batch.latents_BCHW))}
    for level in NOISE_LEVELS:
        process = parts.backbone.noise
        noised = noise_latents(batch.latents_BCHW, process.at(level, count), process, generator=generator)
        texts = Texts.complete(count)
        mapped = parts.control_map is not None
        state = run_paths(
            parts,
            batch,
            noised,
            texts,
            Capture(attention=True),
            1.0,
            reference=mapped,
            mapped=mapped,
            generator=generator,
        )
        pixels = parts.backbone.decode(clean_estimate(state, state.response.pred_BCHW))
        attention = attention_to(state, state.response, batch.complete.target_BL)
        images[f"attention, t={level:g}"] = _overlay(pixels, attention)
        if state.map_B1HW is not None:
            images[f"control map, t={level:g}"] = _overlay(pixels, state.map_B1HW)
    return comparison_grid(images, [prompt.target_text or "" for prompt in batch.prompts])


def heat_images(heat_N1HW: Tensor, size: int) -> list[Image.Image]:
    """Values in [0, 1] as square pictures in viridis: dark is 0, yellow is 1."""
    from matplotlib import colormaps

    heat = torch.nn.functional.interpolate(heat_N1HW.float(), (size, size), mode="nearest")
    colours = colormaps["viridis"](heat[:, 0].cpu().numpy())[..., :3]
    return [Image.fromarray((255 * image).astype(np.uint8)) for image in colours]


def _overlay(pixels_B3HW: Tensor, heat_B1HW: Tensor) -> list[Image.Image]:
    """Blend viridis over grey pixels: dark is 0, yellow is 1."""
    from matplotlib import colormaps

    heat = torch.nn.functional.interpolate(heat_B1HW.float(), pixels_B3HW.shape[-2:], mode="bilinear")
    colours = colormaps["viridis"](heat[:, 0].cpu().numpy())[..., :3]
    grey = ((pixels_B3HW.clamp(-1, 1) + 1) / 2).mean(1).cpu().numpy()[..., None]
    blended = 0.35 * grey + 0.65 * colours
    return [Image.fromarray((255 * image).astype(np.uint8)) for image in blended]
