"""What the judges and metrics say of quadruples: plain per-pair numbers, from which all scores follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image

from spf_core.interfaces import Metric, Quadruples, Region, Suite
from spf_lab.evaluation.cached_suite import CachedSuite
from spf_lab.evaluation.originals import same_pixels
from spf_lab.evaluation.purity import Floats
from spf_lab.evaluation.readout import STRATA

POSITIVES = 128
CERTAIN = 1.0  # tau of a suite that has no real examples to tell its scale


@dataclass(frozen=True)
class Comparison:
    """N distances per metric of A to other images, and of A to A' over the very same regions."""

    distances: Mapping[str, Floats]
    reseed: Mapping[str, Floats]


@dataclass(frozen=True)
class PairNumbers:
    """The per-pair numbers that scores are made of, N = prompts x seeds prompt-major.

    `tuned` compares A with C and `prompted` A with B outside the target's region, `base` A with D everywhere.
    `tau` holds the target's probability in A, B, C and D, `tau_ref` its mean over real examples.
    """

    prompts: int
    parts: Mapping[str, str]  # metric -> part of pollution
    tuned: Comparison
    prompted: Comparison
    base: Comparison
    floor: Mapping[str, float]
    tau: Mapping[str, Floats]
    tau_ref: float
    region_share: Floats


def stratum(found: PairNumbers, name: str) -> PairNumbers | None:
    """The numbers of one of `STRATA` alone, None where it has no prompt.

    A suite's prompts at even places caption every attribute, those at odd ones are silent on some.
    """
    places = slice(list(STRATA).index(name), None, len(STRATA))
    count = len(range(found.prompts)[places])
    if not count:
        return None

    def chosen(values: Floats) -> Floats:
        return values.reshape(found.prompts, -1)[places].reshape(-1)

    def only(values: Mapping[str, Floats]) -> dict[str, Floats]:
        return {key: chosen(each) for key, each in values.items()}

    def compared(comparison: Comparison) -> Comparison:
        return Comparison(only(comparison.distances), only(comparison.reseed))

    return PairNumbers(
        prompts=count,
        parts=found.parts,
        tuned=compared(found.tuned),
        prompted=compared(found.prompted),
        base=compared(found.base),
        floor=found.floor,
        tau=only(found.tau),
        tau_ref=found.tau_ref,
        region_share=chosen(found.region_share),
    )


@dataclass(frozen=True)
class Measurements(PairNumbers):
    """All that was measured.

    `probabilities` are those of attributes, N x K, in A, C and A2; `captioned` is the value index that the
    base text names, or -1.
    """

    target: str
    attributes: Mapping[str, tuple[str, ...]]
    allowed: frozenset[str]
    probabilities: Mapping[str, Mapping[str, Floats]]
    captioned: Mapping[str, NDArray[np.int64]]


def measure(suite: Suite, metrics: Mapping[str, Metric], quads: Quadruples) -> Measurements:
    """Ask every judge once and apply every metric to (A, C), (A, B), (A, D) and their re-seeds."""
    judge, target = CachedSuite(suite), quads.target
    compare = _Comparer(judge, metrics, quads)
    region = judge.region(quads.a, quads.c, target)
    images = {"a": quads.a, "b": quads.b, "c": quads.c, "d": quads.d}
    tau = {role: _floats(judge.target_probability(listed, target)) for role, listed in images.items()}
    return Measurements(
        target=target,
        prompts=len(quads.prompts),
        parts={name: metric.part for name, metric in metrics.items()},
        tuned=compare(quads.c, region),
        prompted=compare(quads.b, judge.region(quads.a, quads.b, target)),
        base=compare(quads.d, None),
        floor=compare.floor(),
        tau=tau,
        tau_ref=_tau_ref(judge, quads, tau),
        attributes=judge.attributes,
        allowed=judge.allowed_attributes(target),
        probabilities=_probabilities(judge, quads),
        captioned=captioned_values(quads, judge.attributes),
        region_share=1 - _floats(region.outside_NHW.float().mean(dim=(1, 2))),
    )


def _tau_ref(judge: Suite, quads: Quadruples, tau: Mapping[str, Floats]) -> float:
    """The mean tau of real examples; NaN where no judge sees the target."""
    if all(np.isnan(each).all() for each in tau.values()):
        return float("nan")
    positives = judge.positives(quads.target, POSITIVES, seed=0, size=quads.a[0].width)
    return float(judge.target_probability(positives, quads.target).mean()) if positives else CERTAIN


def captioned_values(
    quads: Quadruples, attributes: Mapping[str, tuple[str, ...]]
) -> dict[str, NDArray[np.int64]]:
    """Per attribute the index of the value that each pair's base text names, -1 where it is silent."""
    found = {}
    for name, values in attributes.items():
        named = [item.mentioned.get(name) for item in quads.prompts]
        indices = [values.index(value) if value in values else -1 for value in named]
        found[name] = np.repeat(np.array(indices, np.int64), quads.seeds)
    return found


class _Comparer:
    def __init__(self, suite: Suite, metrics: Mapping[str, Metric], quads: Quadruples) -> None:
        self.suite, self.metrics, self.quads = suite, metrics, quads

    def __call__(self, other: Sequence[Image], region: Region | None) -> Comparison:
        return Comparison(
            distances=self._distances(self.quads.a, other, region),
            reseed=self._distances(self.quads.a, self.quads.a2, region),
        )

    def floor(self) -> dict[str, float]:
        """Per metric the mean distance of A to the same draw repeated; 0 where sampling is deterministic."""
        rerun = self.quads.rerun
        first = self.quads.a[: len(rerun)]
        if same_pixels(first, rerun):  # judges may round in another way where they see fewer pictures
            return dict.fromkeys(self.metrics, 0.0)
        found = self._distances(first, rerun, None)
        return {name: float(np.nan_to_num(values).mean()) for name, values in found.items()}

    def _distances(
        self, first: Sequence[Image], second: Sequence[Image], region: Region | None
    ) -> dict[str, Floats]:
        target = self.quads.target
        return {
            name: _floats(metric(self.suite, first, second, region, target))
            for name, metric in self.metrics.items()
        }


def _probabilities(suite: Suite, quads: Quadruples) -> dict[str, dict[str, Floats]]:
    roles = {"a": quads.a, "c": quads.c, "a2": quads.a2}
    return {
        role: {name: _floats(values) for name, values in suite.attribute_probabilities(images).items()}
        for role, images in roles.items()
    }


def _floats(values: torch.Tensor) -> Floats:
    return values.detach().cpu().double().numpy()
