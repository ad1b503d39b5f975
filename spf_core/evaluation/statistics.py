"""Uncertainty: the cluster bootstrap over prompts and sign-flip tests. Numpy and scipy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from spf_core.evaluation.purity import Floats

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval; None where it does not apply."""

    value: float | None
    ci: tuple[float | None, float | None]

    def to_json(self) -> dict[str, object]:
        """`{"value": ..., "ci": [lo, hi]}`."""
        return {"value": self.value, "ci": list(self.ci)}


class Bootstrap:
    """Resamples prompts with all their seeds; one set of draws serves every statistic, so they vary jointly.

    Means come as 1 + resamples numbers: first that of the sample itself, then one per replicate. A ratio or
    score computed from such arrays is thereby recomputed inside each replicate.
    """

    def __init__(self, prompts: int, *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), size=resamples)
        self.weights_RP: Floats = np.vstack([np.ones(prompts), drawn]).astype(np.float64)

    def mean(self, values: ArrayLike) -> Floats:
        """Mean of N = prompts x seeds prompt-major values, NaN left out; NaN where none is left."""
        values_PS = np.asarray(values, np.float64).reshape(self.weights_RP.shape[1], -1)
        known_PS = ~np.isnan(values_PS)
        total_R = self.weights_RP @ np.where(known_PS, values_PS, 0.0).sum(axis=1)
        count_R = self.weights_RP @ known_PS.sum(axis=1).astype(np.float64)
        return np.where(count_R > 0, total_R / np.maximum(count_R, 1.0), np.nan)

    def deviation(self, values: ArrayLike) -> Floats:
        """Standard deviation of the values, NaN left out."""
        array = np.asarray(values, np.float64)
        return np.sqrt(np.maximum(self.mean(array**2) - self.mean(array) ** 2, 0.0))


def estimate(replicates: ArrayLike, level: float = 0.95) -> Estimate:
    """Value and percentile interval of a statistic computed from `Bootstrap` means."""
    values = np.asarray(replicates, np.float64)
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return Estimate(None, (None, None))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(values[0]), (float(low), float(high)))


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
