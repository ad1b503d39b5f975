"""The purity scores as pure functions of means; arrays broadcast, so bootstrap replicates pass through them.

Notation: A original model on the base text, B on the complete text, C tuned model on the complete text,
D on the base text, A' the original on the base text with another seed. NaN means "not applicable".
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

PARTS = ("appearance", "structure", "layout", "identity", "attributes")
Floats = NDArray[np.float64]


def calibrated(distance: ArrayLike, reseed: ArrayLike, floor: ArrayLike = 0.0) -> Floats:
    """p_k = clip(mean d_k / mean d_k(A, A'), 0, 1): 0 nothing else changed, 1 as different as another draw.

    `distance` and `reseed` are means over the same pairs and regions; `floor` is the mean distance of a
    re-run of the same draw, subtracted from both. Where re-seeding changes nothing, any distance counts as 1.
    """
    d, scale, low = (np.asarray(value, np.float64) for value in (distance, reseed, floor))
    excess, spread = np.maximum(d - low, 0.0), np.maximum(scale - low, 0.0)
    ratio = _quotient(excess, spread, np.where(excess > 0, 1.0, 0.0))
    missing = np.isnan(d) | np.isnan(scale) | np.isnan(low)
    return np.where(missing, np.nan, np.clip(ratio, 0.0, 1.0))


def spi(parts: ArrayLike) -> Floats:
    """Semantic Pollution Index in [0, 1]: the mean over the applicable parts, which run along axis 0."""
    values = np.asarray(parts, np.float64)
    applicable = ~np.isnan(values)
    count = applicable.sum(axis=0)
    total = np.where(applicable, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def effect(tau_c: ArrayLike, tau_a: ArrayLike, tau_ref: ArrayLike) -> Floats:
    """E = clip((tau(C) - tau(A)) / (tau_ref - tau(A)), 0, 1); NaN where A shows the target already."""
    c, a, ref = (np.asarray(value, np.float64) for value in (tau_c, tau_a, tau_ref))
    return np.clip(_quotient(c - a, ref - a, np.nan), 0.0, 1.0)


def sps(e: ArrayLike, pollution: ArrayLike) -> Floats:
    """Semantic Purity Score: 100 x the harmonic mean of the effect E and of 1 - SPI."""
    gain, kept = np.asarray(e, np.float64), 1.0 - np.asarray(pollution, np.float64)
    harmonic = _quotient(200.0 * gain * kept, gain + kept, 0.0)
    return np.where(np.isnan(gain + kept), np.nan, harmonic)


def delta_spi(tuned: ArrayLike, prompted: ArrayLike) -> Floats:
    """SPI(A, C) - SPI(A, B): the pollution that fine-tuning adds to merely prompting the original model."""
    return np.asarray(tuned, np.float64) - np.asarray(prompted, np.float64)


def rec(parts: ArrayLike) -> Floats:
    """Reconstruction: 100 x (1 - mean p_k(A, D)), over whole images; 100 with the adapter off."""
    return 100.0 * (1.0 - spi(parts))


def _quotient(above: Floats, below: Floats, otherwise: ArrayLike) -> Floats:
    """`above / below` where `below` is positive."""
    usable = below > 0
    return np.where(usable, above / np.where(usable, below, 1.0), otherwise)
