"""What happens to the training rows before the first step: encoding, and what the original model adds."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch

from spf_core.config.views import PreparationSettings
from spf_core.data import Row, read_folder
from spf_core.errors import ConfigError
from spf_core.interfaces import Backbone
from spf_core.interfaces.training import RecordsStates, Reference, States
from spf_core.interfaces.types import Capture, index
from spf_core.preparation.buckets import BucketedRows, BucketedStates
from spf_core.preparation.caption_augmentation import with_variants
from spf_core.preparation.class_images import with_class_images
from spf_core.preparation.counterfactuals import purify
from spf_core.preparation.encoding import CachedRows, encode_rows
from spf_core.preparation.released_phrases import with_released
from spf_core.preparation.sharing import drawn_for
from spf_core.preparation.trajectories import record_trajectories
from spf_core.preparation.views import bucket_step, with_views
from spf_core.utils.paths import refuse_lost
from spf_core.utils.progress import Progress

Rows = CachedRows | BucketedRows


def rows_of(settings: PreparationSettings) -> list[Row]:
    """The training rows in all their wordings; ConfigError without a folder."""
    if settings.data is None:
        raise ConfigError("no training folder given; use --data DIR")
    refuse_lost(settings.data, "data")
    rows, train = read_folder(settings.data, settings.dataset, settings.reader), settings.train
    return with_variants(rows, train.text_variants, train.clause_dropout, train.seed)


def prepare(
    backbone: Backbone,
    rows: Sequence[Row],
    settings: PreparationSettings,
    reference: Reference | None,
    *,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    progress: Progress,
) -> tuple[Rows, States | None]:
    """Everything before the first step, of a backbone without adapter: encoded rows, and recorded states.

    The encoding is in full precision; what the original model draws is under `autocast`.
    """
    encoded = encoded_rows(backbone, rows, settings, progress)
    with autocast():
        prepared = prepared_rows(backbone, encoded, settings, progress)
        return prepared, recorded_states(backbone, prepared, settings, reference, progress)


def encoded_rows(
    backbone: Backbone, rows: Sequence[Row], settings: PreparationSettings, progress: Progress
) -> Rows:
    """The rows' views, encoded in full precision; with counterfactuals, images are embedded when purified.

    Pictures of several shapes lie in buckets.
    """
    needs = settings.needs - ({"clean_image"} if settings.counterfactuals.enabled else set())
    rows, keep = viewed_rows(backbone, rows, settings), settings.dataset.cache
    members = [[row for row, each in enumerate(rows) if each.view.size == size] for size in _sizes(rows)]
    parts = [
        encode_rows(backbone, [rows[row] for row in each], needs=needs, keep=keep, progress=progress)
        for each in members
    ]
    return parts[0] if len(parts) == 1 else BucketedRows(tuple(parts), tuple(map(tuple, members)))


def viewed_rows(backbone: Backbone, rows: Sequence[Row], settings: PreparationSettings) -> list[Row]:
    """Every row once for each of its views, drawn for the model's size."""
    side, options = backbone.image_size, settings.dataset
    step = bucket_step(side, backbone.pipeline().vae_scale_factor) if options.buckets else side
    return with_views(rows, options, side, step, settings.train.seed)


def _sizes(rows: Sequence[Row]) -> list[tuple[int, int] | None]:
    return list(dict.fromkeys(row.view.size for row in rows))


def prepared_rows(backbone: Backbone, rows: Rows, settings: PreparationSettings, progress: Progress) -> Rows:
    """The rows with what the original model draws for them, and without phrases that are released."""
    if isinstance(rows, BucketedRows):
        return rows.each(lambda part: _prepared(backbone, part, settings, progress))
    return _prepared(backbone, rows, settings, progress)


def _prepared(
    backbone: Backbone, rows: CachedRows, settings: PreparationSettings, progress: Progress
) -> CachedRows:
    drawn = drawn_for(rows.images, rows.prompts, settings.train.drawn_texts)
    if drawn.all or not settings.draws_images:
        rows = _drawn(backbone, rows, settings, progress)
    else:
        some = _drawn(backbone, rows.some(drawn.rows), settings, progress)
        rows = rows.with_pictures_of(some, torch.tensor(drawn.places, device=backbone.device))
    if settings.train.release:
        rows = with_released(rows, settings.train.release)
    return rows


def _drawn(
    backbone: Backbone, rows: CachedRows, settings: PreparationSettings, progress: Progress
) -> CachedRows:
    """The rows with the images that the base model draws for each of them."""
    sample, seed = settings.drawing, settings.train.seed
    if "class_images" in settings.needs:
        rows = with_class_images(backbone, rows, sample, seed=seed, progress=progress)
    if settings.counterfactuals.enabled:
        rows = purify(
            backbone,
            rows,
            settings.counterfactuals,
            sample,
            seed=seed,
            clean_image="clean_image" in settings.needs,
            progress=progress,
        )
    return rows


def recorded_states(
    backbone: Backbone,
    rows: Rows,
    settings: PreparationSettings,
    reference: Reference | None,
    progress: Progress,
) -> States | None:
    """States of the original model's own sampling, with the outputs on them that the reference path keeps."""
    if not settings.records_states:
        return None
    if isinstance(rows, BucketedRows):
        parts = (_recorded(backbone, part, settings, reference, progress) for part in rows.parts)
        return BucketedStates(tuple(parts), rows.members)
    return _recorded(backbone, rows, settings, reference, progress)


def _recorded(
    backbone: Backbone,
    rows: CachedRows,
    settings: PreparationSettings,
    reference: Reference | None,
    progress: Progress,
) -> States:
    generator = torch.Generator().manual_seed(settings.train.seed)
    drawn = drawn_for(rows.images, rows.prompts, settings.train.drawn_texts)
    trajectories = record_trajectories(
        backbone,
        rows.base if drawn.all else index(rows.base, torch.tensor(drawn.rows, device=backbone.device)),
        rows.empty,
        rows.latents_NCHW.shape[1:],
        settings.drawing,
        generator=generator,
        progress=progress,
    )
    if not drawn.all:
        trajectories = replace(trajectories, shared_N=torch.tensor(drawn.places, device=backbone.device))
    if not isinstance(reference, RecordsStates):
        return trajectories
    attention = "attention" in settings.needs or bool(settings.train.release)
    capture = Capture(attention=attention, queries="queries" in settings.needs)
    return reference.record(
        backbone, rows.base, trajectories, capture, generator=generator, progress=progress
    )
