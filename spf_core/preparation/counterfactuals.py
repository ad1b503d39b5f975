"""Training images purified: the original model redraws each one with and without the target's words.

Noised half-way and denoised under its base text, an image keeps its layout and loses the target; under its
complete text it keeps what the model knows of the target as well. Where the picture without the target
differs from both others, and CLIP finds the target's text in the difference, is where the target belongs.
There the training image teaches, and the picture without the target is its ground: what else the training
images share, and no caption names, is mostly gone from it.
"""

from dataclasses import replace

import torch
from torch import Tensor

from spf_core.config.sections import CounterfactualSection, SampleSection
from spf_core.helpers import stretch_to_share
from spf_core.interfaces import Backbone
from spf_core.interfaces.types import Conditioning, index
from spf_core.preparation.encoding import CachedRows
from spf_core.preparation.relevance import integrated_gradients, mean_of_group, relevance
from spf_core.preparation.style import in_style
from spf_core.runs.cache import cached
from spf_core.sampling.sampler import ROWS, guided_prediction, rows_at_once
from spf_core.utils.progress import Progress, silent


def purify(
    backbone: Backbone,
    rows: CachedRows,
    options: CounterfactualSection,
    sample: SampleSection,
    *,
    seed: int,
    clean_image: bool = False,
    progress: Progress = silent,
) -> CachedRows:
    """Rows whose latents are `without + region (latents - without)`, with theta_0 as it is before training.

    `without` is the row's picture under the base text; the region is that of `target_region`, the same for
    all wordings of an image. Of a style the region is everywhere, and the pictures are those of `in_style`.
    With `clean_image` the image embeddings are those of the new latents. What is drawn is kept on disk for
    other runs of the same data, model and seed.
    """
    redrawn = _redraw(backbone, rows, options, sample, seed, progress)
    without = redrawn["without"]
    region = torch.ones_like(without[:, :1])
    if options.region == "relevance":
        region = target_region(rows, without, redrawn["response"], redrawn["gradients"], options)
        purified = without + region * (rows.latents_NCHW - without)
    else:
        without, purified = in_style(backbone, rows, without, seed=seed)
    # Embeddings of the training images would hold what was just removed from the latents.
    embeds = _embedded(backbone, purified, progress) if clean_image else None
    return replace(
        rows, latents_NCHW=purified, without_NCHW=without, region_N1HW=region, image_embeds_ND=embeds
    )


@torch.no_grad()
def _redraw(
    backbone: Backbone,
    rows: CachedRows,
    options: CounterfactualSection,
    sample: SampleSection,
    seed: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """Every row's picture without the target, N C H W, and for a region of relevance what it is made of.

    That is how far the target's words move the picture, N 1 H W, and what the way from it to the training
    image adds to the target's text, M 1 H W: one wording of each picture.
    """
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same noise on every device
    found: dict[str, list[Tensor]] = {"without": [], "response": []}
    group, count = rows_at_once(*rows.latents_NCHW.shape[-2:]), len(rows.ids)
    progress("counterfactuals", 0, count)
    for chosen in torch.split(torch.arange(count, device=backbone.device), group):
        clean = rows.latents_NCHW[chosen]
        # Drawn for groups that are read as well: the next group's noise comes after this one's.
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        first = _first_steps(backbone, len(clean), options.start, sample, generator)
        part = _group(backbone, rows, chosen, noise, first, options, sample)
        for name, tensor in part.items():
            found[name].append(tensor)
        progress("counterfactuals", int(chosen[-1]) + 1, count)
    without = torch.cat(found["without"])
    if options.region == "style":  # it is everywhere, and has no region to find
        return {"without": without}
    gradients = _gradients(backbone, rows, without, progress)
    return {"without": without, "response": torch.cat(found["response"]), "gradients": gradients}


def _group(
    backbone: Backbone,
    rows: CachedRows,
    chosen: Tensor,
    noise: Tensor,
    first_B: Tensor,
    options: CounterfactualSection,
    sample: SampleSection,
) -> dict[str, Tensor]:
    """`without` and, for a region of relevance, `response` of some rows, drawn together."""
    clean, base, complete = rows.latents_NCHW[chosen], index(rows.base, chosen), index(rows.complete, chosen)

    def draw() -> dict[str, Tensor]:
        # Both texts share noise and first step, so that the pictures differ by the target's words alone.
        start = clean, noise, first_B
        without = _sampled(backbone, *start, base, rows.empty, sample)
        if options.region == "style":
            return {"without": without}
        asked = _sampled(backbone, *start, complete, rows.empty, sample)
        return {"without": without, "response": (asked - without).abs().mean(1, keepdim=True)}

    # The key lists what the pictures depend on. The region's extent is not among it: it is cut afterwards,
    # so that `inner` and `outer` may be tried without another draw.
    made_of = {"region": options.region, "steps": sample.steps, "guidance": sample.guidance}
    tensors = {
        "latents": clean,
        "noise": noise,
        "first": first_B,
        "base": base.embeds_BLD,
        "complete": complete.embeds_BLD,
        "sizes": base.sizes_B6,
        "empty": rows.empty.embeds_BLD,
    }
    return cached("counterfactuals", backbone, made_of, tensors, draw)


def _gradients(backbone: Backbone, rows: CachedRows, without_NCHW: Tensor, progress: Progress) -> Tensor:
    # Decoding with gradients is slow, so one wording of each picture stands for all of them.
    _, _, first_M = _pictures(rows)
    latents_MCHW = rows.latents_NCHW[first_M]
    # In the memory layout of the latents, from which they were sampled: what is read from disk is contiguous,
    # and convolutions of another layout round differently.
    without_MCHW = torch.empty_like(latents_MCHW).copy_(without_NCHW[first_M])
    return integrated_gradients(
        backbone,
        without_MCHW,
        latents_MCHW,
        rows.complete.target_embed_BD[first_M],
        progress=progress,
    )


def target_region(
    rows: CachedRows,
    without_NCHW: Tensor,
    response_N1HW: Tensor,
    gradients_M1HW: Tensor,
    options: CounterfactualSection,
) -> Tensor:
    """Where the target belongs, N 1 H W in [0, 1], one region for each of M pictures.

    m = (|z - z_base| + |z_complete - z_base|) q: how far the picture without the target lies from the
    training image and from the original's own picture with it, in the mean over its wordings, times the
    relevance q of that difference to the target's text. m is scaled to 1 in `inner` and to 0 beyond `outer`
    effective shares of the image.
    """
    picture_N, target_M, _ = _pictures(rows)
    # Both differences hold chance too, and the first the bias: relevance keeps what the words are about.
    change = (rows.latents_NCHW - without_NCHW).abs().mean(1, keepdim=True) + response_N1HW
    found = mean_of_group(change, picture_N, len(target_M)) * relevance(gradients_M1HW, target_M)
    return stretch_to_share(found, options.inner, options.outer)[picture_N]


def _pictures(rows: CachedRows) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures are images with a target: each row's picture N, each picture's target M and first row M."""
    # The same image may teach two targets, and each of them lies somewhere else in it.
    pictures: dict[tuple[int, str | None], int] = {}
    texts: dict[str | None, int] = {}
    picture, target, first = list[int](), list[int](), list[int]()
    for row, (image, prompt) in enumerate(zip(rows.images, rows.prompts, strict=True)):
        key = (image, prompt.target_text)
        if key not in pictures:
            pictures[key] = len(pictures)
            target.append(texts.setdefault(prompt.target_text, len(texts)))
            first.append(row)
        picture.append(pictures[key])
    device = rows.latents_NCHW.device
    numbers = (torch.tensor(each, device=device) for each in (picture, target, first))
    picture_N, target_M, first_M = numbers
    return picture_N, target_M, first_M


def _first_steps(
    backbone: Backbone,
    count: int,
    start: tuple[float, float],
    sample: SampleSection,
    generator: torch.Generator,
) -> Tensor:
    """For each row the sampler step at which it starts: t just below a level drawn from `start`."""
    lowest, highest = start
    levels = lowest + (highest - lowest) * torch.rand(count, generator=generator)
    timesteps = backbone.noise.sampler(sample.steps).timesteps_S
    above = timesteps[None, :] >= backbone.noise.timestep_at(levels)[:, None].to(timesteps.device)
    return above.sum(1).clamp(max=len(timesteps) - 1)


def _sampled(
    backbone: Backbone,
    clean: Tensor,
    noise: Tensor,
    first_B: Tensor,
    texts: Conditioning,
    empty: Conditioning,
    sample: SampleSection,
) -> Tensor:
    """SDEdit (Meng et al. 2022): every row is noised to its first step's timestep and sampled from there."""
    process, sampler = backbone.noise, backbone.noise.sampler(sample.steps)
    z_t = torch.zeros_like(clean)
    for step in range(int(first_B.min()), len(sampler.timesteps_S)):
        t_B = sampler.timesteps_S[step].expand(len(z_t))
        starting = (first_B >= step).view(-1, 1, 1, 1)
        z_t = torch.where(starting, process.noised(clean, noise, t_B), z_t)
        pred = guided_prediction(backbone, z_t, t_B, texts, empty, sample.guidance)
        z_t = sampler.step(pred, step, z_t)
    return z_t


@torch.no_grad()
def _embedded(backbone: Backbone, latents_NCHW: Tensor, progress: Progress) -> Tensor:
    found, count = [], len(latents_NCHW)
    progress("embedding purified images", 0, count)
    for part in torch.split(latents_NCHW, ROWS):
        found.append(backbone.embed_images(backbone.decode(part)))
        progress("embedding purified images", sum(map(len, found)), count)
    return torch.cat(found)
