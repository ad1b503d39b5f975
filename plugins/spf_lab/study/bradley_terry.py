"""Bradley-Terry with ties and a side bias, by penalised maximum likelihood. Numpy and scipy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root
from scipy.special import expit, softmax

from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Estimate

RIDGE = 0.1  # a prior of standard deviation 3 on every parameter: finite where one method always wins
FLAT = 1e-6  # of an answer: what the gradient may be at its root
RESAMPLES = 400  # enough for a standard deviation, which is all the intervals take from the bootstrap
LEFT, TIE, RIGHT = range(3)
_NORMAL_95 = 1.959963984540054

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Comparisons:
    """N answers to one question: the methods shown, as indices; LEFT, TIE or RIGHT; who answered on what."""

    methods: tuple[str, ...]
    left_N: Ints
    right_N: Ints
    answer_N: Ints
    rater_N: Ints
    prompt_N: Ints

    def counts(self, weights_N: Floats) -> Floats:
        """Weighted answers as left method x right method x answer: M M 3."""
        size = len(self.methods)
        cells_N = (self.left_N * size + self.right_N) * 3 + self.answer_N
        found = np.bincount(cells_N, weights_N, minlength=size * size * 3)
        return np.asarray(found, np.float64).reshape(size, size, 3)


@dataclass(frozen=True)
class Fit:
    """Log-strengths around their mean, side bias and tendency to ties, with 95 % intervals.

    `beats[m]` is the chance that m is preferred to the method it is measured against when shown without side
    bias and not judged a tie. `left` is the chance of the left side between equals, ties left out.
    """

    strengths: dict[str, Estimate]
    beats: dict[str, Estimate]
    left: Estimate
    tie: Estimate


def maximum_likelihood(counts_MM3: Floats, start: Floats | None = None) -> Floats:
    """Log-strengths (M), side bias beta and tie parameter log(nu), as one vector of P = M + 2.

    Davidson (1970) with the multiplicative order effect of Davidson & Beaver (1977): with
    d = theta_left - theta_right + beta, P(left) : P(tie) : P(right) = exp(d/2) : nu : exp(-d/2). Minimised is
    the negative log-likelihood + RIDGE/2 |parameters|^2, strictly convex: its gradient has one root.
    """
    size = len(counts_MM3)
    features_CAP = _features(size)
    counts_CA = counts_MM3.reshape(-1, 3)
    flat_KP, total_C = features_CAP.reshape(-1, size + 2), counts_CA.sum(axis=1)

    def chances(parameters: Floats) -> Floats:
        return np.asarray(softmax(features_CAP @ parameters, axis=1))

    def gradient(parameters: Floats) -> Floats:
        excess_CA = total_C[:, None] * chances(parameters) - counts_CA
        return np.asarray(excess_CA.ravel() @ flat_KP + RIDGE * parameters)

    def hessian(parameters: Floats) -> Floats:
        p_CA1 = chances(parameters)[..., None]
        centred_CAP = features_CAP - (p_CA1 * features_CAP).sum(axis=1, keepdims=True)
        weighted_CAP = total_C[:, None, None] * p_CA1 * centred_CAP
        return np.asarray(weighted_CAP.reshape(flat_KP.shape).T @ flat_KP + RIDGE * np.eye(size + 2))

    found = root(gradient, np.zeros(size + 2) if start is None else start, jac=hessian)
    best: Floats = found.x
    # Not found.success: where it starts at the root, the search complains that it makes no progress.
    assert np.abs(gradient(best)).max() < FLAT * max(1.0, counts_CA.sum()), found.message  # see above
    best[:size] -= best[:size].mean()
    return best


@cache
def _features(size: int) -> Floats:
    """The logits' derivatives by the parameters: C = M M cells x 3 answers x P."""
    left, right = np.repeat(np.eye(size), size, axis=0), np.tile(np.eye(size), (size, 1))
    features = np.zeros((size * size, 3, size + 2))
    features[:, LEFT, :size] = (left - right) / 2
    features[:, LEFT, size] = 0.5
    features[:, RIGHT] = -features[:, LEFT]
    features[:, TIE, size + 1] = 1
    return features


def fit(data: Comparisons, against: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Fit:
    """Fit one question, with 95 % intervals for other raters and other prompts."""
    size, other = len(data.methods), data.methods.index(against)
    best = maximum_likelihood(data.counts(np.ones(len(data.answer_N))))
    spread = _Spread(data, best, resamples, seed)
    unit = np.eye(size + 2)
    centred = unit[:size] - np.append(np.full(size, 1 / size), [0, 0])
    side, tie = unit[size], unit[size + 1]
    return Fit(
        strengths={name: spread.interval(centred[m]) for m, name in enumerate(data.methods)},
        beats={
            name: spread.chance(unit[m] - unit[other])
            for m, name in enumerate(data.methods)
            if name != against
        },
        left=spread.chance(side),
        tie=spread.interval(tie),
    )


class _Spread:
    """Intervals of linear combinations of the parameters, for raters and prompts that are both samples.

    Resampling whole raters, whole prompts, and single answers gives three covariances; the first two less the
    third is that of two-way clustering (Cameron, Gelbach & Miller 2011). It is taken at least as large as
    either of the first two.
    """

    def __init__(self, data: Comparisons, best: Floats, resamples: int, seed: int) -> None:
        self.best = best
        clusters = (data.rater_N, data.prompt_N, np.arange(len(data.answer_N)))
        self.rater, self.prompt, self.answer = (
            _covariance(data, cluster_N, best, resamples, [seed, number])
            for number, cluster_N in enumerate(clusters)
        )

    def interval(self, combination: Floats) -> Estimate:
        """Normal 95 % interval of `combination` @ parameters."""
        rater, prompt, answer = (
            float(combination @ each @ combination) for each in (self.rater, self.prompt, self.answer)
        )
        width = _NORMAL_95 * max(rater, prompt, rater + prompt - answer) ** 0.5
        value = float(combination @ self.best)
        return Estimate(value, (value - width, value + width))

    def chance(self, combination: Floats) -> Estimate:
        """The same as a probability, by the logistic function."""
        found = self.interval(combination)
        value, low, high = (float(expit(number)) for number in (found.value, *found.ci))
        return Estimate(value, (low, high))


def _covariance(
    data: Comparisons, cluster_N: Ints, best: Floats, resamples: int, seed: Sequence[int]
) -> Floats:
    """Covariance of the parameters when whole clusters are drawn with replacement."""
    _, member_N = np.unique(cluster_N, return_inverse=True)
    size = int(member_N.max()) + 1
    drawn_RC = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples)
    found = [maximum_likelihood(data.counts(weights_C[member_N]), best) for weights_C in drawn_RC]
    return np.cov(np.stack(found), rowvar=False)
