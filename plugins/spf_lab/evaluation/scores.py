"""Headline scores with confidence intervals, from per-pair measurements."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spf_lab.evaluation.measure import Comparison, Measurements, PairNumbers, stratum
from spf_lab.evaluation.purity import PARTS, Floats, calibrated, delta_spi, effect, rec, spi, sps
from spf_lab.evaluation.readout import STRATA
from spf_lab.evaluation.statistics import Bootstrap, Estimate, Replicates, estimate

SEEN = 0.5


@dataclass(frozen=True)
class Scores:
    """Estimates by name, and the calibrated pollution of each part."""

    headline: Mapping[str, Estimate]
    parts: Mapping[str, Estimate]


@dataclass(frozen=True)
class ScoreReplicates:
    """The same as arrays over `Replicates`: the sample's own score first."""

    headline: Mapping[str, Floats]
    parts: Mapping[str, Floats]

    @property
    def estimates(self) -> Scores:
        """Values with their intervals."""
        groups = (self.headline, self.parts)
        return Scores(*({name: estimate(values) for name, values in group.items()} for group in groups))


def score(found: PairNumbers, draws: Bootstrap) -> Scores:
    """SPS, effect, SPI and the rest; every ratio is recomputed inside each bootstrap replicate."""
    return score_replicates(found, draws).estimates


def stratum_scores(found: PairNumbers) -> dict[str, Scores]:
    """The same of the explicit and of the silent prompts alone: pooled, the silent ones decide SPI."""
    parts = {name: stratum(found, name) for name in STRATA}
    return {name: score(part, Bootstrap(part.prompts)) for name, part in parts.items() if part}


def score_replicates(found: PairNumbers, draws: Replicates) -> ScoreReplicates:
    """Every score of the sample and of each replicate."""
    tuned, prompted, base = (
        pollution(comparison, found, draws) for comparison in (found.tuned, found.prompted, found.base)
    )
    pollution_c, pollution_b = _index(tuned), _index(prompted)
    gain, gain_b = (
        effect(draws.mean(found.tau[role]), draws.mean(found.tau["a"]), found.tau_ref) for role in "cb"
    )
    seen = {role: draws.mean(np.where(np.isnan(tau), np.nan, tau > SEEN)) for role, tau in found.tau.items()}
    values = {
        "sps": sps(gain, pollution_c),
        "sps_original": sps(gain_b, pollution_b),
        "effect": gain,
        "spi": pollution_c,
        "delta_spi": delta_spi(pollution_c, pollution_b),
        "rec": rec([base[part] for part in _in_order(base)]),
        "hit_rate": seen["c"],
        "hit_rate_original": seen["b"],
        "base_leak": seen["d"],
        "base_leak_original": seen["a"],
        "spi_original": pollution_b,
        "region_share": draws.mean(found.region_share),
    }
    return ScoreReplicates(values, tuned)


def pollution(comparison: Comparison, found: PairNumbers, draws: Replicates) -> dict[str, Floats]:
    """Replicates of p_k for each part; several metrics of one part are averaged."""
    by_part: dict[str, list[Floats]] = {}
    for name, distances in comparison.distances.items():
        p = calibrated(draws.mean(distances), draws.mean(comparison.reseed[name]), found.floor[name])
        by_part.setdefault(found.parts[name], []).append(p)
    return {part: spi(several) for part, several in by_part.items()}


def pair_pollution(found: Measurements) -> Floats:
    """SPI of each pair alone: its distances over the mean re-seed distance of all pairs."""
    one = Bootstrap(found.prompts, resamples=0)
    by_part: dict[str, list[Floats]] = {}
    for name, distances in found.tuned.distances.items():
        reseed = one.mean(found.tuned.reseed[name])[0]
        by_part.setdefault(found.parts[name], []).append(calibrated(distances, reseed, found.floor[name]))
    return spi([spi(several) for several in by_part.values()])


def _index(parts: Mapping[str, Floats]) -> Floats:
    return spi(np.stack([parts[part] for part in _in_order(parts)]))


def _in_order(parts: Mapping[str, Floats]) -> list[str]:
    """The published parts first, in their order: a sum depends on it in its last bits."""
    return [*(part for part in PARTS if part in parts), *sorted(set(parts) - set(PARTS))]
