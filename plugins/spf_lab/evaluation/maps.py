"""How well control maps find the target's true region: against the masks that come with the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spf_core.config.run_config import RunConfig
from spf_core.data import Row
from spf_core.dual_path.noising import noise_latents
from spf_core.dual_path.parts import Parts, build_parts
from spf_core.dual_path.step import run_paths
from spf_core.dual_path.step_sampling import Texts
from spf_core.interfaces import Batch, Capture
from spf_core.plugins import ControlMapConfig, ReferenceConfig
from spf_core.preparation.counterfactuals import purify
from spf_core.preparation.encoding import CachedRows, encode_rows
from spf_core.runs.run import OpenRun
from spf_core.utils.progress import Progress, silent
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Bootstrap, Estimate, estimate

LEVELS = (0.9, 0.7, 0.5, 0.3, 0.1)  # of the schedule; a map that remembers meets them in this order
INSIDE = 0.5  # a position counts as inside from this value on
CHUNK = 16


@dataclass(frozen=True)
class MapQuality:
    """Agreement of one control map with the true region, over images and noise levels.

    `precision` is the average precision of its ranking of positions, `iou` the intersection over union of the
    map and the region at 0.5, `chance` the precision of a map that knows nothing: the region's share.
    """

    precision: Estimate
    iou: Estimate
    chance: Estimate
    by_level: Mapping[float, float]  # average precision at each noise level
    examples: Tensor  # the first images' maps, K N 1 H W by level


def map_quality(
    run: OpenRun,
    maps: Mapping[str, ControlMapConfig],
    rows: Sequence[Row],
    reference: ReferenceConfig,
    *,
    seed: int = 0,
    examples: int = 6,
    progress: Progress = silent,
) -> tuple[dict[str, MapQuality], Tensor]:
    """Score every map on the rows' images with the trained run; also returns the masks, N 1 H W.

    Each image is seen once at every level, with the same noise for all maps. DataError when a row has
    no mask.
    """
    with run.adapter.disabled():
        plain = encode_rows(run.backbone, rows, needs={"masks"}, progress=progress)
    found = {}
    for number, (name, chosen) in enumerate(maps.items()):
        config = run.config.model_copy(update={"control_map": chosen, "reference": reference})
        cached = _prepared(run, plain, config, progress)
        parts = build_parts(config.step, run.backbone, run.adapter)
        batches = [cached.batch(part.tolist()) for part in torch.split(torch.arange(len(rows)), CHUNK)]
        levels = [torch.cat([_maps(parts, batch, level, seed) for batch in batches]) for level in LEVELS]
        found[name] = _quality(torch.stack(levels), _truth(plain), examples)
        progress("control maps", number + 1, len(maps))
    return found, _truth(plain)


def _prepared(run: OpenRun, rows: CachedRows, config: RunConfig, progress: Progress) -> CachedRows:
    """Purified images where training saw such, or where the map reads their region."""
    assert config.control_map is not None
    if not (config.counterfactuals.enabled or "counterfactuals" in config.control_map.needs):
        return rows
    seed, sample = config.train.seed, config.sample
    with run.adapter.disabled():
        return purify(run.backbone, rows, config.counterfactuals, sample, seed=seed, progress=progress)


def _truth(rows: CachedRows) -> Tensor:
    assert rows.mask_N1HW is not None
    return rows.mask_N1HW.cpu()


@torch.no_grad()
def _maps(parts: Parts, batch: Batch, level: float, seed: int) -> Tensor:
    size = len(batch.ids)
    generator = torch.Generator().manual_seed(seed + int(batch.rows[0]))
    process = parts.backbone.noise
    noised = noise_latents(batch.latents_BCHW, process.at(level, size), process, generator=generator)
    texts = Texts.complete(size)
    state = run_paths(
        parts,
        batch,
        noised,
        texts,
        Capture(attention=True),
        1.0,
        reference=True,
        mapped=True,
        generator=generator,
    )
    assert state.map_B1HW is not None
    return state.map_B1HW.float().cpu()


def _quality(maps_KN1HW: Tensor, truth_N1HW: Tensor, examples: int) -> MapQuality:
    inside_NQ = (truth_N1HW.flatten(1) >= INSIDE).numpy()
    maps_KNQ = maps_KN1HW.flatten(2).numpy().astype(np.float64)
    precision_KN = np.stack([average_precision(maps_NQ, inside_NQ) for maps_NQ in maps_KNQ])
    iou_KN = np.stack([intersection_over_union(maps_NQ >= INSIDE, inside_NQ) for maps_NQ in maps_KNQ])
    draws = Bootstrap(len(inside_NQ))
    return MapQuality(
        precision=estimate(draws.mean(precision_KN.mean(0))),
        iou=estimate(draws.mean(iou_KN.mean(0))),
        chance=estimate(draws.mean(inside_NQ.mean(1))),
        by_level={level: float(np.nanmean(row)) for level, row in zip(LEVELS, precision_KN, strict=True)},
        examples=maps_KN1HW[:, :examples],
    )


def average_precision(scores_NQ: Floats, inside_NQ: NDArray[np.bool_]) -> Floats:
    """Area under precision over recall for each image; NaN where nothing is inside.

    Equal scores are one step of the curve, so that a constant map scores its chance, the region's share.
    """
    return np.array([_precision(row, inside) for row, inside in zip(scores_NQ, inside_NQ, strict=True)])


def _precision(scores_Q: Floats, inside_Q: NDArray[np.bool_]) -> float:
    if not inside_Q.any():
        return float("nan")
    order = np.argsort(-scores_Q, kind="stable")
    hits, seen = np.cumsum(inside_Q[order]), np.arange(1, len(order) + 1)
    last_of_ties = np.append(np.diff(scores_Q[order]) != 0, True)
    hits, seen = hits[last_of_ties], seen[last_of_ties]
    return float(np.sum(np.diff(hits, prepend=0) * hits / seen) / inside_Q.sum())


def intersection_over_union(first_NQ: NDArray[np.bool_], second_NQ: NDArray[np.bool_]) -> Floats:
    """|A and B| / |A or B| for each image; NaN where both are empty."""
    union = (first_NQ | second_NQ).sum(1).astype(np.float64)
    shared = (first_NQ & second_NQ).sum(1).astype(np.float64)
    return np.where(union > 0, shared / np.maximum(union, 1.0), np.nan)
