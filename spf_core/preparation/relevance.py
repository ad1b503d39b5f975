"""Where a picture carries what a text says: integrated gradients of CLIP's similarity."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from spf_core.interfaces import Backbone
from spf_core.runs.cache import cached
from spf_core.utils.progress import Progress, silent

PIXELS = 2**14  # decoded at once with gradients: their number decides how much memory preparation takes
PATH_STEPS = 8
SMALLEST = 16  # side of latents, below which a picture is no longer one


def integrated_gradients(
    backbone: Backbone,
    start_NCHW: Tensor,
    end_NCHW: Tensor,
    target_ND: Tensor,
    *,
    progress: Progress = silent,
) -> Tensor:
    """What each position adds to cos(E_I(decode z), E_T(target)) on the way from start to end, N 1 H W.

    (z_end - z_start) times the mean gradient on the straight path, summed over channels; all positions
    together give the whole change of the cosine (Sundararajan, Taly and Yan 2017, arXiv 1703.01365, eq. 1).
    Latents of pictures at least twice as large as CLIP's are averaged to about its size before. What is found
    is kept on disk, a few pictures at a time.
    """
    found, count = [], len(start_NCHW)
    chunk = pictures_at_once(backbone, start_NCHW.shape[-1])
    progress("relevance", 0, count)
    for begin in range(0, count, chunk):
        rows = slice(begin, begin + chunk)
        part = {"start": start_NCHW[rows], "end": end_NCHW[rows], "target": target_ND[rows]}
        make = partial(_integrated, backbone, *part.values())
        found.append(cached("relevance", backbone, {"path_steps": PATH_STEPS}, part, make)["gradients"])
        progress("relevance", min(begin + chunk, count), count)
    return torch.cat(found)


def _integrated(
    backbone: Backbone, start_NCHW: Tensor, end_NCHW: Tensor, target_ND: Tensor
) -> dict[str, Tensor]:
    reduction = _reduction(backbone, start_NCHW.shape[-1])
    start, end = (F.avg_pool2d(z, reduction) for z in (start_NCHW, end_NCHW))
    gradient = torch.zeros_like(start)
    for step in range(PATH_STEPS):
        z = (start + (step + 0.5) / PATH_STEPS * (end - start)).detach().requires_grad_()
        with torch.enable_grad():
            similarity = (backbone.embed_images(backbone.decode(z)) * target_ND).sum()
        gradient += torch.autograd.grad(similarity, z)[0] / PATH_STEPS
    added = ((end - start) * gradient).sum(1, keepdim=True).detach()
    return {"gradients": F.interpolate(added, start_NCHW.shape[-2:]) / reduction**2}


def pictures_at_once(backbone: Backbone, width: int) -> int:
    """How many latents of this width are decoded together."""
    return max(1, PIXELS // (backbone.image_size // _reduction(backbone, width)) ** 2)


def _reduction(backbone: Backbone, width: int) -> int:
    """How often latents are halved, as a factor: decoding more than CLIP looks at would only take memory."""
    factor = 1
    while backbone.image_size >= 2 * factor * backbone.clip_size and width >= 2 * factor * SMALLEST:
        factor *= 2
    return factor


def relevance(gradients_N1HW: Tensor, group_N: Tensor) -> Tensor:
    """A picture's own |gradients| plus the mean over the pictures of its group, each blurred and of mean 1.

    A single picture's gradients are noisy, and a face lies at about the same place in all: what many pictures
    agree on is kept.
    """
    agreed = blurred(mean_of_group(gradients_N1HW, group_N)[group_N]).clamp(min=0)
    return of_mean_one(blurred(gradients_N1HW.abs())) + of_mean_one(agreed)


def mean_of_group(values_N1HW: Tensor, group_N: Tensor, groups: int = 0) -> Tensor:
    """The mean over all rows of each group, G 1 H W; groups are numbered from 0 and none is empty.

    Their number is counted where it is not given.
    """
    counts = group_N.bincount(minlength=groups)
    sums = values_N1HW.new_zeros(len(counts), *values_N1HW.shape[1:]).index_add_(0, group_N, values_N1HW)
    return sums / counts.view(-1, 1, 1, 1)


def blurred(values_N1HW: Tensor) -> Tensor:
    """Mean over 3 x 3 positions."""
    return F.avg_pool2d(values_N1HW, 3, 1, 1, count_include_pad=False)


def of_mean_one(values_N1HW: Tensor) -> Tensor:
    """Every image divided by its mean."""
    return values_N1HW / values_N1HW.mean((1, 2, 3), keepdim=True).clamp(min=1e-8)
