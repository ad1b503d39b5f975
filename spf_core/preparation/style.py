"""A style as a map that sees a few latent pixels at a time, and so cannot say what a picture shows.

A style changes every pixel, so no region keeps the content of the training images out. How little the map
sees does: from a picture without the style to the training image that it was redrawn from, it can learn
colours, contrast and lines, but no face, clothes or wall. Where the two differ in content its errors are
outliers, and the mean absolute error forgives outliers, as the median does. The rows then are the original's
own pictures and the same in the style.
"""

from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from spf_core.interfaces import Backbone
from spf_core.preparation.encoding import CachedRows
from spf_core.runs.cache import cached

WIDTH = 64
SEEN = 3  # latent pixels, a side
STEPS = 500
ROWS = 64  # pictures in a step
LEARNING_RATE = 3e-3


def in_style(
    backbone: Backbone, rows: CachedRows, without_NCHW: Tensor, *, seed: int
) -> tuple[Tensor, Tensor]:
    """The original's own picture of every row's base text, and the same in the style, N C H W each.

    The own pictures are the class images, or where there are none those of `without`, the rows' pictures
    redrawn. Every target text has a map of its own, from `without` to the rows' latents.
    """
    own = without_NCHW if rows.class_NCHW is None else rows.class_NCHW
    targets = [prompt.target_text or "" for prompt in rows.prompts]
    tensors = {"without": without_NCHW, "latents": rows.latents_NCHW, "own": own}

    def drawn() -> dict[str, Tensor]:
        styled = torch.empty_like(own)
        for target in dict.fromkeys(targets):
            members = [row for row, each in enumerate(targets) if each == target]
            chosen = torch.tensor(members, device=own.device)
            style = fit_style(tensors["without"][chosen], tensors["latents"][chosen], seed=seed)
            with torch.no_grad(), torch.autocast(own.device.type, enabled=False):
                styled[chosen] = style(own[chosen].float()).to(own)
        return {"styled": styled}

    found = cached("styles", backbone, {"seed": seed, "targets": targets}, tensors, drawn)
    return own, found["styled"]


class Style:
    """Two layers of WIDTH units at every position, which see SEEN x SEEN latent pixels around it."""

    def __init__(self, channels: int, device: torch.device, generator: torch.Generator) -> None:
        shapes = (WIDTH, channels, SEEN, SEEN), (WIDTH, WIDTH, 1, 1), (channels, WIDTH, 1, 1)
        drawn = [torch.randn(shape, generator=generator) * (2 / prod(shape[1:])) ** 0.5 for shape in shapes]
        self.weights = [weight.to(device).requires_grad_() for weight in drawn]
        self.biases = [torch.zeros(shape[0], device=device, requires_grad=True) for shape in shapes]

    def __call__(self, latents_NCHW: Tensor) -> Tensor:
        """The same pictures in the style, N C H W."""
        hidden = F.pad(latents_NCHW, [SEEN // 2] * 4, mode="replicate")
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = F.silu(F.conv2d(hidden, weight, bias))
        return F.conv2d(hidden, self.weights[-1], self.biases[-1])


def fit_style(without_NCHW: Tensor, latents_NCHW: Tensor, *, seed: int) -> Style:
    """The style with the least mean absolute error from `without` to `latents`."""
    generator, device = torch.Generator().manual_seed(seed), without_NCHW.device
    style = Style(without_NCHW.shape[1], device, generator)
    optimizer = torch.optim.AdamW([*style.weights, *style.biases], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        for _ in range(STEPS):
            chosen = torch.randperm(len(without_NCHW), generator=generator)[:ROWS].to(device)
            loss = F.l1_loss(style(without_NCHW[chosen].float()), latents_NCHW[chosen].float())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return style
