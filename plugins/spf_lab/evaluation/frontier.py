"""The strength frontier: how effect and pollution move as the adapter's strength grows.

Any method can buy purity by doing less. Compared at the same effect, it no longer can.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spf_lab.evaluation.measure import PairNumbers
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.scores import ScoreReplicates, score_replicates
from spf_lab.evaluation.statistics import Estimate, Replicates, estimate

EFFECTS = (0.5, 0.8)
SHOWN = ("effect", "spi", "sps", "hit_rate", "base_leak", "delta_spi", "rec")


@dataclass(frozen=True)
class Frontier:
    """Scores at each strength, SPI at fixed effects, and the area under effect against 1 - SPI."""

    points: Mapping[float, Mapping[str, Estimate]]
    spi_at_effect: Mapping[float, Estimate]
    area: Estimate

    def to_json(self) -> dict[str, object]:
        """The frontier as plain values, weakest first."""
        return {
            "points": [
                {"strength": strength, **{name: value.to_json() for name, value in scores.items()}}
                for strength, scores in self.points.items()
            ],
            "spi_at_effect": {f"{effect:g}": value.to_json() for effect, value in self.spi_at_effect.items()},
            "area": self.area.to_json(),
        }


def frontier(found: Mapping[float, PairNumbers], draws: Replicates) -> Frontier:
    """Scores of measurements by strength; all of it is recomputed inside each bootstrap replicate."""
    scores = {strength: score_replicates(found[strength], draws) for strength in sorted(found)}
    effect_SR, spi_SR = (_stacked(scores, name) for name in ("effect", "spi"))
    return Frontier(
        points={
            strength: {name: estimate(each.headline[name]) for name in SHOWN}
            for strength, each in scores.items()
        },
        spi_at_effect={wanted: estimate(spi_at(effect_SR, spi_SR, wanted)) for wanted in EFFECTS},
        area=estimate(area_under(effect_SR, 1 - spi_SR)),
    )


def spi_at(effect_SR: Floats, spi_SR: Floats, wanted: float) -> Floats:
    """SPI where the effect first rises to `wanted`, linear between strengths; NaN where it never does.

    A model whose effect is beyond `wanted` at its lowest strength does not rise to it.
    """
    found_R = np.where(effect_SR[0] == wanted, spi_SR[0], np.nan)
    for k in range(len(effect_SR) - 1):
        low, high = effect_SR[k], effect_SR[k + 1]
        rises = np.isnan(found_R) & (low < wanted) & (wanted <= high)
        share = (wanted - low) / np.where(rises, high - low, 1.0)
        found_R = np.where(rises, spi_SR[k] + share * (spi_SR[k + 1] - spi_SR[k]), found_R)
    return found_R


def area_under(effect_SR: Floats, purity_SR: Floats) -> Floats:
    """The integral over e in [0, 1] of the highest purity at an effect of at least e (hypervolume in 2-D)."""
    order_SR = np.argsort(effect_SR, axis=0)
    effect, purity = (np.take_along_axis(values, order_SR, axis=0) for values in (effect_SR, purity_SR))
    best = np.maximum.accumulate(purity[::-1], axis=0)[::-1]
    return np.asarray((np.diff(effect, axis=0, prepend=0.0) * best).sum(axis=0))


def _stacked(scores: Mapping[float, ScoreReplicates], name: str) -> Floats:
    return np.stack([each.headline[name] for each in scores.values()])
