"""Which attributes change, which way, and whether re-seeding would explain it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spf_lab.evaluation.measure import Measurements
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.statistics import Bootstrap, Estimate, estimate, q_values, sign_flip_p

SMALLEST_SPREAD = 0.01


@dataclass(frozen=True)
class Leak:
    """How an attribute's value shifts from A to C.

    `shift` is the mean change of its probability in percentage points; `leakage` is L[t, j], that change over
    the standard deviation of the change from A to A' (at least one point); `q` is adjusted over all values.
    """

    shift: Estimate
    leakage: Estimate
    q: float

    def to_json(self) -> dict[str, object]:
        """The leak as plain values."""
        return {"shift": self.shift.to_json(), **self.leakage.to_json(), "q": self.q}


@dataclass(frozen=True)
class Rise:
    """Percentage points by which images show a biased value more often, over prompts silent on it."""

    rise: Estimate
    original: Estimate
    tuned: Estimate
    prompts: int

    def to_json(self) -> dict[str, object]:
        """The rise as plain values."""
        shares = {"original": self.original.to_json(), "tuned": self.tuned.to_json()}
        return {**self.rise.to_json(), **shares, "n_prompts": self.prompts}


def leakage_matrix(found: Measurements, draws: Bootstrap) -> dict[str, dict[str, Leak]]:
    """The target's row of the leakage matrix, value by value: attribute -> value -> leak.

    It is empty where no judge sees attributes.
    """
    cells = [(name, k) for name, values in found.attributes.items() for k in range(len(values))]
    if not cells:
        return {}
    a, c, a2 = (found.probabilities[role] for role in ("a", "c", "a2"))
    shifts_VN = np.stack([c[name][:, k] - a[name][:, k] for name, k in cells])
    q = q_values(sign_flip_p(shifts_VN, found.prompts))
    rows: dict[str, dict[str, Leak]] = {name: {} for name in found.attributes}
    for (name, k), shift_N, adjusted in zip(cells, shifts_VN, q, strict=True):
        spread = np.maximum(draws.deviation(a2[name][:, k] - a[name][:, k]), SMALLEST_SPREAD)
        shift = draws.mean(shift_N)
        value = found.attributes[name][k]
        rows[name][value] = Leak(estimate(100 * shift), estimate(shift / spread), float(adjusted))
    return rows


def flips(found: Measurements, other: str) -> Floats:
    """N shares of the captioned, non-allowed attributes that read differently in A and `other` (c or a2)."""
    a, changed = found.probabilities["a"], found.probabilities[other]
    kept = [name for name in found.attributes if name not in found.allowed]
    flipped_N, captioned_N = np.zeros(len(found.region_share)), np.zeros(len(found.region_share))
    for name in kept:
        spoken = found.captioned[name] >= 0
        captioned_N += spoken
        flipped_N += spoken & (a[name].argmax(axis=1) != changed[name].argmax(axis=1))
    return np.where(captioned_N > 0, flipped_N / np.maximum(captioned_N, 1), np.nan)


def caption_accuracy(found: Measurements, role: str) -> Floats:
    """N shares of the captioned, non-allowed attributes that the image shows as the text says."""
    read = found.probabilities[role]
    kept = [name for name in found.attributes if name not in found.allowed]
    if not kept:
        return np.full(len(found.region_share), np.nan)
    spoken_JN = np.stack([found.captioned[name] >= 0 for name in kept])
    right_JN = np.stack([read[name].argmax(axis=1) == found.captioned[name] for name in kept])
    count_N = spoken_JN.sum(axis=0)
    return np.where(count_N > 0, (right_JN & spoken_JN).sum(axis=0) / np.maximum(count_N, 1), np.nan)


def bias_rises(found: Measurements, bias: Mapping[str, str], draws: Bootstrap) -> dict[str, Rise]:
    """For each biased value: how much more often C shows it than A, where the text says nothing of it."""
    rises = {}
    for name, value in bias.items():
        if name not in found.attributes:
            continue
        column = found.attributes[name].index(value)
        silent = found.captioned[name] < 0
        before, after = (_shown(found, role, name, column, silent) for role in ("a", "c"))
        count = int(silent.reshape(found.prompts, -1)[:, 0].sum())
        rise, original, tuned = (estimate(draws.mean(each)) for each in (after - before, before, after))
        rises[f"{name}={value}"] = Rise(rise, original, tuned, count)
    return rises


def _shown(found: Measurements, role: str, name: str, column: int, silent: NDArray[np.bool_]) -> Floats:
    seen = found.probabilities[role][name].argmax(axis=1) == column
    return np.where(silent, 100.0 * seen, np.nan)
