"""A run's control map along the sampling of a picture that it never trained on."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spf_core.config.sections import SampleSection
from spf_core.dual_path.parts import build_parts
from spf_core.dual_path.step import run_paths
from spf_core.dual_path.step_sampling import Texts
from spf_core.interfaces import Capture, Conditioning, Noised
from spf_core.preparation.counterfactuals import purify
from spf_core.preparation.encoding import CachedRows
from spf_core.runs.run import OpenRun
from spf_core.utils.pixels import to_pixels
from spf_core.utils.prompts import Prompt


def control_maps(
    run: OpenRun, rows: CachedRows, states: Sequence[Tensor], timesteps: Sequence[float]
) -> Iterator[Tensor]:
    """The map at each z_t of a sampling, B 1 H W: as in training on a state of the model's own sampling.

    `rows` holds one row. A map that remembers does so along these states.
    """
    parts = build_parts(run.config.step, run.backbone, run.adapter)
    batch, texts = rows.batch([0]), Texts.complete(1)
    from_data = torch.zeros(1, dtype=torch.bool, device=run.backbone.device)
    for z_t, t in zip(states, timesteps, strict=True):
        times = torch.tensor([t], device=z_t.device)
        noised = Noised(z_t, torch.zeros_like(z_t), times, from_data)
        state = run_paths(
            parts,
            batch,
            noised,
            texts,
            Capture(attention=True, queries=True),
            1.0,
            reference=parts.reference is not None,
            mapped=True,
            generator=torch.Generator().manual_seed(0),
        )
        assert state.map_B1HW is not None
        yield state.map_B1HW


def row_of(
    run: OpenRun,
    picture: Image.Image,
    prompt: Prompt,
    texts: tuple[Conditioning, Conditioning, Conditioning],
    options: SampleSection,
    seed: int,
) -> CachedRows:
    """The picture as if it were the training folder, purified where the run's rows were.

    `texts` are the complete, the base and the empty one.
    """
    complete, base, empty = texts
    device = run.backbone.device
    rows = CachedRows(
        ids=("prompt",),
        prompts=(prompt,),
        latents_NCHW=run.backbone.encode_images(to_pixels([np.asarray(picture.convert("RGB"))]).to(device)),
        complete=complete,
        base=base,
        empty=empty,
        image_embeds_ND=None,
        images=(0,),
    )
    if not run.config.counterfactuals.enabled:
        return rows
    with run.adapter.disabled():
        return purify(run.backbone, rows, run.config.counterfactuals, options, seed=seed)
