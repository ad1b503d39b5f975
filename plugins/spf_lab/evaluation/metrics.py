"""The metrics that make SPI and SPS: a fixed, named set of the suite, whatever else is installed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from spf_core.config.loading import parse_component
from spf_core.config.merging import parse_assignment
from spf_core.errors import ConfigError, unknown
from spf_core.interfaces import Backbone, Column, Metric, Quadruples, Suite
from spf_core.plugins import MetricConfig
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins

_log = logging.getLogger("spf")


@dataclass(frozen=True)
class PurityMetrics:
    """The metrics of a suite's set, ready to measure, and what a result says of them.

    `options` holds for each metric the options that are not its defaults. `label` is the set's name, with
    the options where there are any: results of another label or other options are other numbers.
    """

    name: str
    built: Mapping[str, Metric]
    options: Mapping[str, Mapping[str, Any]]
    mark: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)  # part -> why no judge sees it

    @property
    def label(self) -> str:
        """`portraits-1`, or `portraits-1 with appearance.blur=2`."""
        given = [
            f"{name}.{key}={value}" for name, chosen in self.options.items() for key, value in chosen.items()
        ]
        return f"{self.name} with {', '.join(given)}" if given else self.name

    def to_json(self) -> dict[str, Any]:
        """What results.json records."""
        return {
            "set": self.name,
            "label": self.label,
            "metrics": {name: dict(chosen) for name, chosen in self.options.items()},
            **({"mark": self.mark} if self.mark else {}),
            **({"left_out": dict(self.left_out)} if self.left_out else {}),
        }

    def warn(self) -> None:
        """Say before any work which parts are left out, and why."""
        for part, reason in self.left_out.items():
            without = "there are no effect and no SPS" if part == "target" else "SPI and SPS go without it"
            _log.warning("no judge of %s: %s; %s", part, reason, without)


def purity_metrics(plugins: Plugins, suite: Suite, assignments: Sequence[str] = ()) -> PurityMetrics:
    """The suite's set; `assignments` are options of its metrics as NAME.OPTION=VALUE.

    ConfigError for a metric of the set that is not installed, and for options of a metric outside it.
    """
    wanted, known = suite.purity, plugins.of_kind("metric")
    for name in wanted.metrics:
        if name not in known:
            raise ConfigError(f"set '{wanted.name}' of {suite.label}: {unknown('metric', name, known)}")
    options: dict[str, dict[str, Any]] = {name: {} for name in sorted(wanted.metrics)}
    for assignment in assignments:
        ((name, values),) = parse_assignment(assignment).items()
        if name not in options:
            raise unknown("metric of SPI", name, options)
        if not isinstance(values, Mapping):
            raise ConfigError(f"--set {assignment}: expected {name}.OPTION=VALUE")
        options[name] |= values
    configs = {
        name: parse_component(plugins, "metric", {**given, "name": name}, name)
        for name, given in options.items()
    }
    changed = {
        name: {key: value for key, value in config.model_dump(exclude_defaults=True).items() if key != "name"}
        for name, config in configs.items()
    }
    metrics = {name: built(config) for name, config in configs.items()}
    return PurityMetrics(wanted.name, metrics, changed, wanted.mark, wanted.left_out)


def comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether SPI and SPS of two results.json were made by the same metrics, options and judges.

    Results of the first version name no set: every installed metric made them, with its default options.
    """
    first, second = (results.get("purity") or {} for results in (one, other))
    sets = {each["set"] for each in (first, second) if each}
    used = [
        each.get("metrics") or {name: {} for name in results["calibration"]["parts"]}
        for each, results in ((first, one), (second, other))
    ]
    judged = [(results.get("judges"), results.get("target_allowance")) for results in (one, other)]
    alike = (
        judged[0] == judged[1] if one.get("target") == other.get("target") else judged[0][0] == judged[1][0]
    )
    return len(sets) < 2 and used[0] == used[1] and alike


class Beside:
    """A metric outside the set as a score: it is shown beside SPI and does not enter it."""

    def __init__(self, config: MetricConfig) -> None:
        self.metric: Metric = built(config)
        self.provenance: Mapping[str, Any] = {"model": "the suite's judges", **config.model_dump()}

    def __call__(self, quads: Quadruples, suite: Suite, backbone: Backbone) -> dict[str, Column]:
        """Return the distance of A to C outside the target's region, and of A to another seed's picture."""
        region = suite.region(quads.a, quads.c, quads.target)
        outside = f"outside the target's region; {self.metric.part}"
        found = {}
        for key, pictures, meaning in (("", quads.c, "the tuned"), ("reseed", quads.a2, "another seed's")):
            values_N = self.metric(suite, quads.a, pictures, region, quads.target)
            what = f"distance of the original's picture to {meaning} {outside}"
            found[key] = Column(what, "lower", values_N.to(torch.float64))
        return found
