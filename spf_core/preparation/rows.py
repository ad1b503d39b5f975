"""What happens to the training rows before the first step: encoding, and what the original model adds."""

from collections.abc import Sequence

import torch

from spf_core.config.run_config import RunConfig
from spf_core.data import Row, read_folder
from spf_core.dual_path.states import States
from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone
from spf_core.interfaces.types import Capture
from spf_core.preparation.bank import build_bank
from spf_core.preparation.buckets import BucketedRows, BucketedStates
from spf_core.preparation.caption_augmentation import with_variants
from spf_core.preparation.class_images import with_class_images
from spf_core.preparation.counterfactuals import purify
from spf_core.preparation.encoding import CachedRows, encode_rows
from spf_core.preparation.released_phrases import with_released
from spf_core.preparation.trajectories import record_trajectories
from spf_core.preparation.views import bucket_step, with_views
from spf_core.utils.paths import refuse_lost
from spf_core.utils.progress import Progress

Rows = CachedRows | BucketedRows


def rows_of(config: RunConfig) -> list[Row]:
    """The training rows in all their wordings; ConfigError without a folder."""
    if config.data is None:
        raise ConfigError("no training folder given; use --data DIR")
    refuse_lost(config.data, "data")
    rows, train = read_folder(config.data, config.dataset), config.train
    return with_variants(rows, train.text_variants, train.clause_dropout, train.seed)


def encoded_rows(backbone: Backbone, rows: Sequence[Row], config: RunConfig, progress: Progress) -> Rows:
    """The rows' views, encoded in full precision; with counterfactuals, images are embedded when purified.

    Pictures of several shapes lie in buckets.
    """
    needs = config.needs - ({"clean_image"} if config.counterfactuals.enabled else set())
    rows, options = viewed_rows(backbone, rows, config), config.dataset
    members = [[row for row, each in enumerate(rows) if each.view.size == size] for size in _sizes(rows)]
    parts = [
        encode_rows(backbone, [rows[row] for row in each], needs=needs, keep=options.keep, progress=progress)
        for each in members
    ]
    return parts[0] if len(parts) == 1 else BucketedRows(tuple(parts), tuple(map(tuple, members)))


def viewed_rows(backbone: Backbone, rows: Sequence[Row], config: RunConfig) -> list[Row]:
    """Every row once for each of its views, drawn for the model's size."""
    side, options = backbone.image_size, config.dataset
    step = bucket_step(side, backbone.pipeline().vae_scale_factor) if options.buckets else side
    return with_views(rows, options, side, step, config.train.seed)


def _sizes(rows: Sequence[Row]) -> list[tuple[int, int] | None]:
    return list(dict.fromkeys(row.view.size for row in rows))


def prepared_rows(backbone: Backbone, rows: Rows, config: RunConfig, progress: Progress) -> Rows:
    """The rows with what the original model draws for them, and without what is let go."""
    if isinstance(rows, BucketedRows):
        return rows.each(lambda part: _prepared(backbone, part, config, progress))
    return _prepared(backbone, rows, config, progress)


def _prepared(backbone: Backbone, rows: CachedRows, config: RunConfig, progress: Progress) -> CachedRows:
    sample, seed = config.sample, config.train.seed
    if "class_images" in config.needs:
        rows = with_class_images(backbone, rows, sample, seed=seed, progress=progress)
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
    return rows


def recorded_states(backbone: Backbone, rows: Rows, config: RunConfig, progress: Progress) -> States | None:
    """States of the original model's own sampling, with its outputs on them where a bank is asked for."""
    if config.train.noise_share == 0 or not config.needs & {"reference", "original"}:
        return None
    if isinstance(rows, BucketedRows):
        parts = (_recorded(backbone, part, config, progress) for part in rows.parts)
        return BucketedStates(tuple(parts), rows.members)
    return _recorded(backbone, rows, config, progress)


def _recorded(backbone: Backbone, rows: CachedRows, config: RunConfig, progress: Progress) -> States:
    train, needs = config.train, config.needs
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
