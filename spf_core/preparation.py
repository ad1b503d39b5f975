"""What happens to the training rows before the first step: encoding, and what the original model adds."""

from collections.abc import Sequence

import torch

from spf_core.bank import build_bank
from spf_core.cache import CachedRows, encode_rows
from spf_core.class_images import with_class_images
from spf_core.config import RunConfig
from spf_core.counterfactuals import purify
from spf_core.data import Row
from spf_core.interfaces import Backbone
from spf_core.progress import Progress
from spf_core.release import with_released
from spf_core.trajectories import States, record_trajectories
from spf_core.types import Capture


def encoded_rows(
    backbone: Backbone, rows: Sequence[Row], config: RunConfig, progress: Progress
) -> CachedRows:
    """The rows, encoded in full precision; with counterfactuals, images are embedded when purified."""
    needs = config.needs - ({"clean_image"} if config.counterfactuals.enabled else set())
    return encode_rows(backbone, rows, needs=needs, progress=progress)


def prepared_rows(backbone: Backbone, rows: CachedRows, config: RunConfig, progress: Progress) -> CachedRows:
    """The rows with what the original model draws for them, and without what is let go."""
    sample, seed = config.sample, config.train.seed
    if config.counterfactuals.enabled:
        rows = purify(
            backbone,
            rows,
            config.counterfactuals,
            sample,
            seed=seed,
            clean_image="clean_image" in config.needs,
            progress=progress,
        )
    if config.train.release:
        rows = with_released(rows, config.train.release)
    if "class_images" in config.needs:
        rows = with_class_images(backbone, rows, sample, seed=seed, progress=progress)
    return rows


def recorded_states(
    backbone: Backbone, rows: CachedRows, config: RunConfig, progress: Progress
) -> States | None:
    """States of the original model's own sampling, with its outputs on them where a bank is asked for."""
    train, needs = config.train, config.needs
    if train.noise_share == 0 or not needs & {"reference", "original"}:
        return None
    generator = torch.Generator().manual_seed(train.seed)
    trajectories = record_trajectories(
        backbone,
        rows.base,
        rows.empty,
        rows.latents_NCHW.shape[1:],
        config.sample,
        generator=generator,
        progress=progress,
    )
    if not train.bank:
        return trajectories
    capture = Capture(attention="attention" in needs or bool(train.release), queries="queries" in needs)
    return build_bank(
        backbone, rows, trajectories, capture, train.bank, generator=generator, progress=progress
    )
