"""Uncertainty: the cluster bootstrap over prompts, sign-flip and exchange tests. Numpy and scipy only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from spf_lab.evaluation.purity import Floats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval; None where it does not apply."""

    value: float | None
    ci: tuple[float | None, float | None]

    def to_json(self) -> dict[str, object]:
        """`{"value": ..., "ci": [lo, hi]}`."""
        return {"value": self.value, "ci": list(self.ci)}


class Replicates:
    """Weights of prompts: the sample itself in row 0, one replicate of it in every other row.

    Means come as 1 + resamples numbers. A ratio or score computed from such arrays is thereby recomputed
    inside each replicate.
    """

    def __init__(self, weights_RP: ArrayLike) -> None:
        self.weights_RP: Floats = np.asarray(weights_RP, np.float64)
        self._total_R: Floats = self.weights_RP.sum(axis=1)

    def mean(self, values: ArrayLike) -> Floats:
        """Mean of N = prompts x seeds prompt-major values, NaN left out; NaN where none is left."""
        values_PS = np.asarray(values, np.float64).reshape(self.weights_RP.shape[1], -1)
        known_PS = ~np.isnan(values_PS)
        total_R = self.weights_RP @ np.where(known_PS, values_PS, 0.0).sum(axis=1)
        if known_PS.all():  # the usual case, at half the cost
            return np.asarray(total_R / (self._total_R * values_PS.shape[1]))
        count_R = self.weights_RP @ known_PS.sum(axis=1).astype(np.float64)
        return np.where(count_R > 0, total_R / np.maximum(count_R, 1.0), np.nan)

    def deviation(self, values: ArrayLike) -> Floats:
        """Standard deviation of the values, NaN left out."""
        array = np.asarray(values, np.float64)
        return np.sqrt(np.maximum(self.mean(array**2) - self.mean(array) ** 2, 0.0))


class Bootstrap(Replicates):
    """Resamples prompts with all their seeds; one set of draws for all statistics lets them vary jointly."""

    def __init__(self, prompts: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), size=resamples)
        super().__init__(np.vstack([np.ones(prompts), drawn]))


class Exchanges:
    """Two arms of the same prompts, laid one after the other; each replicate exchanges some prompts' arms.

    `first` and `second` weight the 2 x prompts values into either arm. All exchanges are made when there are
    no more than `resamples`, otherwise that many at random.
    """

    def __init__(self, prompts: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        if 2**prompts <= resamples:
            swapped_RP = np.arange(2**prompts)[:, None] >> np.arange(prompts) & 1
        else:
            drawn = np.random.default_rng(seed).integers(0, 2, (resamples, prompts))
            swapped_RP = np.vstack([np.zeros(prompts, np.int64), drawn])
        self.first = Replicates(np.hstack([1 - swapped_RP, swapped_RP]))
        self.second = Replicates(np.hstack([swapped_RP, 1 - swapped_RP]))


def exchange_p(differences_R: ArrayLike) -> float | None:
    """Two-sided p of a difference between the arms of `Exchanges`; None where it does not apply."""
    found = np.abs(np.asarray(differences_R, np.float64))
    if np.isnan(found[0]):
        return None
    return float(np.mean(~(found < found[0] - 1e-12)))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p values of one family; what is None takes no part."""
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = highest
    return adjusted


def estimate(replicates: ArrayLike, level: float = 0.95) -> Estimate:
    """Value and percentile interval of a statistic computed from `Bootstrap` means."""
    values = np.asarray(replicates, np.float64)
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return Estimate(None, (None, None))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), (float(low), float(high)))


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float], prompt_N: NDArray[np.int64], groups: int = 20
) -> Estimate:
    """A statistic of places 0 to N - 1 with the 95 % interval of the delete-a-group jackknife over prompts.

    It suits distances of distributions: their bias depends on N, and a bootstrap's repeated pairs would
    distort them. At most `groups` groups; without two prompts there is no interval.
    """
    value = statistic(np.arange(len(prompt_N)))
    prompts = np.unique(prompt_N)
    parts = np.array_split(prompts, min(groups, len(prompts))) if len(prompts) > 1 else []
    left_out = np.array([statistic(np.flatnonzero(~np.isin(prompt_N, part))) for part in parts])
    if not np.isfinite(value):
        return Estimate(None, (None, None))
    if len(left_out) < 2 or not np.isfinite(left_out).all():
        return Estimate(float(value), (None, None))
    g = len(left_out)
    error = np.sqrt((g - 1) / g * np.square(left_out - left_out.mean()).sum())
    half = float(stats.t.ppf(0.975, g - 1) * error)
    return Estimate(float(value), (float(value) - half, float(value) + half))


def sign_flip_p(values_VN: ArrayLike, prompts: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Two-sided p per row that paired differences are symmetric about 0; exact when there are few prompts.

    Rows hold N = prompts x seeds prompt-major differences; whole prompts change sign. One prompt proves
    nothing: 1.
    """
    array = np.asarray(values_VN, np.float64)
    means_VP = array.reshape(len(array), prompts, -1).mean(axis=2)
    if prompts < 2:
        return np.ones(len(array))
    result = stats.permutation_test(
        (means_VP,), np.mean, permutation_type="samples", n_resamples=resamples, batch=500, axis=1, rng=seed
    )
    return np.asarray(result.pvalue, np.float64)


def q_values(p: ArrayLike) -> Floats:
    """Benjamini-Hochberg adjusted p values."""
    values = np.asarray(p, np.float64)
    return np.asarray(stats.false_discovery_control(values, method="bh"), np.float64)
