"""Which scores an evaluation shows, and with which options. Torch-free."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import SerializeAsAny

from spf_core.config.loading import parse_component
from spf_core.config.merging import parse_assignment
from spf_core.errors import ConfigError, short, unknown
from spf_core.plugins import MetricConfig, ScoreConfig
from spf_core.plugins.discovery import Plugins

if TYPE_CHECKING:
    from spf_core.interfaces import Score

ALL = "all"
_log = logging.getLogger("spf")


class BesideConfig(ScoreConfig):
    """A metric that is shown beside SPI and does not enter it."""

    metric: SerializeAsAny[MetricConfig]

    def build(self) -> "Score":
        """Return the metric as a score."""
        from spf_lab.evaluation.metrics import Beside

        return Beside(self.metric)


def choose_scores(
    plugins: Plugins, names: Sequence[str] = (), assignments: Sequence[str] = ()
) -> dict[str, ScoreConfig]:
    """Configs of the named scores; `all` names every one, no name those that need no outside weights.

    A metric may be named too: it is then shown beside SPI. `assignments` are options as NAME.OPTION=VALUE;
    those of a metric that is not named are `metric_options`, those of a suite are `suite_options`.
    ConfigError for an unknown name or option.
    """
    scores, metrics = plugins.of_kind("score"), plugins.of_kind("metric")
    known = {**scores, **metrics, **plugins.of_kind("suite")}
    usual = [name for name, entry in scores.items() if getattr(entry.config, "weights", None) is None]
    chosen = list(scores) if ALL in names else list(dict.fromkeys(names)) if names else usual
    options: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    elsewhere = [*metric_options(plugins, names, assignments), *suite_options(plugins, assignments)]
    for assignment in assignments:
        if assignment in elsewhere:
            continue
        ((name, values),) = parse_assignment(assignment).items()
        if name not in options:
            raise unknown("chosen score", name, options) if name in known else unknown("score", name, known)
        if not isinstance(values, Mapping):
            raise ConfigError(f"--set {short(assignment)}: expected {name}.OPTION=VALUE")
        options[name] |= values
    return {name: _config(plugins, name, given) for name, given in options.items()}


def metric_options(plugins: Plugins, names: Sequence[str], assignments: Sequence[str]) -> list[str]:
    """Those of the assignments that set a metric of SPI: one that is not among the `names` shown beside."""
    metrics = plugins.of_kind("metric")
    keys = [(assignment, next(iter(parse_assignment(assignment)))) for assignment in assignments]
    return [assignment for assignment, name in keys if name in metrics and name not in names]


def suite_options(plugins: Plugins, assignments: Sequence[str]) -> list[str]:
    """Those of the assignments that set an option of a suite."""
    suites = plugins.of_kind("suite")
    return [each for each in assignments if next(iter(parse_assignment(each))) in suites]


def _config(plugins: Plugins, name: str, given: Mapping[str, Any]) -> ScoreConfig:
    """The score, or the metric as one; ConfigError as of `choose_scores`."""
    kind = "metric" if name in plugins.of_kind("metric") else "score"
    config = parse_component(plugins, kind, {**given, "name": name}, name)
    if isinstance(config, MetricConfig):
        return BesideConfig(metric=config)
    assert isinstance(config, ScoreConfig)
    return config


def warn_of_missing(scores: Mapping[str, ScoreConfig]) -> None:
    """Say before any work which scores will not be available, and why."""
    for name, config in scores.items():
        if reason := config.missing():
            _log.warning("score '%s' will not be available: %s", name, reason)
