"""What the command shows: images of both models, the region, and what changed outside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image, fromarray
from spf_core.errors import ConfigError
from spf_core.helpers import min_max, phrase_attention
from spf_core.interfaces import Capture, Prompt
from spf_core.runs.run import OpenRun
from spf_core.sampling.sampler import BeforeHandover, comparison_grid, sample_images
from torch import Tensor

from spf_otsu_region import OtsuRegion
from spf_otsu_region.change import change_outside
from spf_otsu_region.region import otsu_region


@dataclass(frozen=True)
class Seen:
    """By image: the share of the region, and the share of the change outside it; and the picture of all."""

    sizes: list[float]
    outside: list[float]
    picture: Image


@torch.no_grad()
def look(run: OpenRun, prompt: str, target: str, seeds: int, level: float) -> Seen:
    """Sample both models from the same noise, and compare what changed with the region of the attention."""
    text, numbers = Prompt(prompt, target), list(range(seeds))
    base, complete = [text.base_text] * seeds, [text.complete_text] * seeds
    with run.adapter.disabled():
        original = sample_images(run.backbone, base, numbers, run.config.sample)
    tuned = sample_images(
        run.backbone,
        complete,
        numbers,
        run.config.sample,
        before_handover=BeforeHandover(base, run.adapter),
        editor=run.editor,
    )
    inside_NHW = _region(run, text, tuned, level)
    outside_N = change_outside(original, tuned, ~inside_NHW)
    shown = {
        "base model": original,
        "tuned model": tuned,
        "its region": [_dimmed(*pair) for pair in zip(tuned, inside_NHW, strict=True)],
    }
    picture = comparison_grid(shown, [f"seed {number}" for number in numbers])
    return Seen(inside_NHW.float().mean((1, 2)).tolist(), outside_N.tolist(), picture)


def _region(run: OpenRun, text: Prompt, images: Sequence[Image], level: float) -> Tensor:
    """The region of the tuned model's attention to the target in its own images, N H W bool.

    It is that of the control map, with the options of the run where the run was trained with it.
    """
    backbone, chosen = run.backbone, run.config.control_map
    config = chosen if isinstance(chosen, OtsuRegion) else OtsuRegion()
    cond = backbone.encode_prompts([text] * len(images), with_target=True)
    if not bool(cond.target_BL.any()):
        raise ConfigError(f"the text encoder does not read as far as '{text.target_text}'; shorten --prompt")
    pixels = np.stack([np.asarray(image.convert("RGB"), dtype=np.float32) for image in images])
    z_0 = backbone.encode_images(torch.from_numpy(pixels / 127.5 - 1).permute(0, 3, 1, 2).to(backbone.device))
    noise = torch.randn(z_0.shape, generator=torch.Generator().manual_seed(0)).to(z_0)
    timesteps = backbone.noise.at(level, len(images)).to(backbone.device)
    z_t = backbone.noise.noised(z_0, noise, timesteps)
    seen = backbone.predict(z_t, timesteps, cond, Capture(attention=True))
    size = z_t.shape[-2:]
    grids = {site.name: site.grid(*size) for site in backbone.attention_sites()}
    attention = {layer: values.float() for layer, values in seen.attention.items()}
    map_B1HW = otsu_region(
        min_max(phrase_attention(attention, cond.target_BL, grids, size)), config.grow, config.feather
    )
    return F.interpolate(map_B1HW, pixels.shape[1:3], mode="nearest")[:, 0].cpu() > 0.5


def _dimmed(image: Image, inside_HW: Tensor) -> Image:
    """The image, dark outside the region."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return fromarray((pixels * np.where(inside_HW.numpy(), 1.0, 0.3)[..., None]).astype(np.uint8))
