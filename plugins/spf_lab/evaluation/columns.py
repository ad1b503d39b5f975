"""Scores of the literature beside the purity score: chosen, computed pair by pair, summarised."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spf_core.errors import Unavailable
from spf_core.interfaces import Backbone, Column, Quadruples, Score, Suite
from spf_core.plugins import ScoreConfig
from spf_core.plugins.building import built
from spf_core.utils.progress import Progress, silent
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.score_calls import call_score, flat, one_line
from spf_lab.evaluation.statistics import Bootstrap, Estimate, estimate, jackknife

NOTHING = Estimate(None, (None, None))


@dataclass(frozen=True)
class Scored:
    """A column of scores: estimates by role, per-pair numbers by role, and why pairs or all of it lack."""

    estimates: Mapping[str, Estimate]
    meaning: str = ""
    better: str = ""
    pairs: int = 0  # usable ones of `tuned`
    values: Mapping[str, Floats] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)  # pair -> reason, of `tuned`
    note: str = ""
    root: bool = False  # of the mean; per-pair numbers are squared
    not_available: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The estimates of the tuned model and of the base model under the complete text, and the rest."""
        tuned = self.estimates.get("tuned", NOTHING).to_json()
        if self.not_available is not None:
            return {**tuned, "not_available": self.not_available}
        facts: dict[str, Any] = {
            "meaning": self.meaning,
            "better": self.better,
            "pairs": self.pairs,
            "note": self.note,
        }
        failed = {str(place): reason for place, reason in self.failed.items()}
        facts |= {"root": True} if self.root else {}
        original = self.estimates.get("original", NOTHING).to_json()
        return {**tuned, "original": original, **facts, "failed": failed}


@dataclass(frozen=True)
class ScoreTable:
    """All columns by name, and what judged, by score."""

    columns: Mapping[str, Scored] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def compute_scores(
    scores: Mapping[str, ScoreConfig],
    quads: Quadruples,
    suite: Suite,
    backbone: Backbone,
    draws: Bootstrap,
    progress: Progress = silent,
) -> ScoreTable:
    """Every score, one network in memory at a time. What is not available is a column that says why."""
    pairs = flat(quads)
    judge, columns, models = CachedSuite(suite), dict[str, Scored](), dict[str, Mapping[str, Any]]()
    for place, (name, config) in enumerate(scores.items()):
        progress("scores", place, len(scores))
        try:
            score: Score = built(config)
            found = {"tuned": call_score(score, pairs, judge, backbone)}
            with suppress(Unavailable):  # the tuned model's numbers stand without those of the original
                found["original"] = call_score(score, replace(pairs, c=pairs.b), judge, backbone)
            for key in found["tuned"]:
                roles = {role: columns_of[key] for role, columns_of in found.items() if key in columns_of}
                columns[f"{name}-{key}" if key else name] = _summary(roles, draws, quads)
            models[name] = dict(score.provenance)
        except Exception as error:
            columns[name] = Scored({}, not_available=one_line(error, config))
    progress("scores", len(scores), len(scores))
    return ScoreTable(columns, models)


def _summary(found: Mapping[str, Column], draws: Bootstrap, quads: Quadruples) -> Scored:
    tuned = found["tuned"]
    return Scored(
        estimates={role: _estimate(column, draws, quads) for role, column in found.items()},
        meaning=tuned.meaning,
        better=tuned.better,
        pairs=len(_usable(tuned, len(quads.a))),
        values={role: _array(column) for role, column in found.items() if column.values_N is not None},
        failed=_failures(tuned),
        note=tuned.note,
        root=tuned.root,
    )


def _estimate(column: Column, draws: Bootstrap, quads: Quadruples) -> Estimate:
    statistic = column.statistic
    if statistic is None:
        means_R = draws.mean(_array(column))
        return estimate(np.sqrt(means_R) if column.root else means_R)
    usable_M = _usable(column, len(quads.a))
    return jackknife(lambda chosen: statistic(torch.from_numpy(usable_M[chosen])), usable_M // quads.seeds)


def _usable(column: Column, count: int) -> NDArray[np.int64]:
    """Places of the pairs that have a number."""
    lacking: Iterable[int] = _failures(column)
    return np.array([place for place in range(count) if place not in lacking], np.int64)


def _failures(column: Column) -> dict[int, str]:
    """Pair -> reason, also where a score gave none."""
    if column.values_N is None:
        return dict(column.failed)
    lacking = np.flatnonzero(np.isnan(_array(column)))
    silent_ones = {int(place): "not a finite number" for place in lacking if int(place) not in column.failed}
    return dict(sorted({**column.failed, **silent_ones}.items()))


def _array(column: Column) -> Floats:
    """Per-pair numbers; what is infinite or failed is NaN."""
    assert column.values_N is not None
    values = column.values_N.detach().cpu().double().numpy().copy()
    values[~np.isfinite(values)] = np.nan
    values[list(column.failed)] = np.nan
    return values
