"""Where a picture may show the target, by the base model's own cross-attention."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from spf_core.errors import ConfigError
from spf_core.helpers import min_max, phrase_attention
from spf_core.interfaces import Adapter, Backbone, Capture
from spf_core.interfaces.types import index
from spf_core.utils.pixels import to_pixels
from spf_core.utils.prompts import Prompt

NEUTRAL = "a photo of a person"
LEVELS = (0.3, 0.5, 0.7)  # of the noise schedule, where composition is settled and details are not yet
SEED = 0


def encoded(backbone: Backbone, images: Sequence[Image]) -> Tensor:
    """Latents of pictures, N C h w, by the frozen VAE."""
    pixels_B3HW = to_pixels(np.asarray(image.convert("RGB"), np.uint8) for image in images)
    return backbone.encode_images(pixels_B3HW.to(backbone.device))


class AttentionRegion:
    """1 where the attention to the target's tokens is high, else 0: N h w at the latents' size.

    A picture is encoded, noised to three levels with noise of a fixed seed, and read by the base model, whose
    adapter is off, under a neutral text with the target. The mean attention of the target's tokens is cut by
    Otsu's threshold. No tuned weight takes part, and a region is limited to what training images show (see
    `regions.local_region`): a tuned model that pollutes cannot enlarge its own region by much.
    """

    def __init__(self, backbone: Backbone, adapter: Adapter, target: str) -> None:
        if not backbone.attention_sites():
            raise ConfigError(
                "this backbone has no attention to text that could find the target's region; say with --set "
                "photos.scope=global that the target may change every pixel, or use --set photos.judges=full "
                "with a face parser"
            )
        self.backbone, self.adapter = backbone, adapter
        with adapter.disabled():
            self._text = backbone.encode_prompts([Prompt(NEUTRAL, target)], with_target=True)

    @torch.no_grad()
    def __call__(self, images: Sequence[Image]) -> Tensor:
        """Region numbers of N pictures, int64."""
        with self.adapter.disabled():
            attention_B1HW = min_max(self._attention(encoded(self.backbone, images)))
        return torch.stack(
            [torch.from_numpy(otsu(each.numpy())) for each in attention_B1HW[:, 0].double().cpu()]
        ).long()

    def _attention(self, latents_BCHW: Tensor) -> Tensor:
        backbone, count = self.backbone, len(latents_BCHW)
        text = index(self._text, torch.zeros(count, dtype=torch.long, device=latents_BCHW.device))
        size = latents_BCHW.shape[-2:]
        grids = {site.name: site.grid(*size) for site in backbone.attention_sites()}
        found = []
        for number, level in enumerate(LEVELS):
            noise = torch.randn(
                latents_BCHW.shape[1:], generator=torch.Generator().manual_seed(SEED + number)
            )
            times_B = backbone.noise.at(level, count).to(latents_BCHW.device)
            z_t = backbone.noise.noised(
                latents_BCHW, noise.to(latents_BCHW.device).expand_as(latents_BCHW), times_B
            )
            read = backbone.predict(z_t, times_B, text, Capture(attention=True)).attention
            found.append(
                phrase_attention({k: v.float() for k, v in read.items()}, text.target_BL, grids, size)
            )
        return torch.stack(found).mean(dim=0)


def otsu(values: np.ndarray) -> np.ndarray:
    """Where values in [0, 1] lie above the cut with the least variance on both of its sides (Otsu 1979)."""
    counts, edges = np.histogram(values, bins=64, range=(0, 1))
    middles = (edges[1:] + edges[:-1]) / 2
    below, above = counts.cumsum()[:-1], counts[::-1].cumsum()[::-1][1:]
    sums = (counts * middles).cumsum()
    low = sums[:-1] / np.maximum(below, 1)
    high = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    between = below * above * (high - low) ** 2
    return np.asarray(values > edges[1:-1][between.argmax()])
