"""Which scores an evaluation shows, and with which options. Torch-free."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from spf_core.components import ScoreConfig
from spf_core.config import parse_component
from spf_core.errors import ConfigError, short, unknown
from spf_core.merging import parse_assignment
from spf_core.plugins import Plugins

ALL = "all"
_log = logging.getLogger("spf")


def choose_scores(
    plugins: Plugins, names: Sequence[str] = (), assignments: Sequence[str] = ()
) -> dict[str, ScoreConfig]:
    """Configs of the named scores; `all` names every one, no name those that need no outside weights.

    `assignments` are options as NAME.OPTION=VALUE. ConfigError for an unknown name or option.
    """
    known = plugins.of_kind("score")
    usual = [name for name, entry in known.items() if getattr(entry.config, "weights", None) is None]
    chosen = list(known) if ALL in names else list(dict.fromkeys(names)) if names else usual
    options: dict[str, dict[str, Any]] = {name: {} for name in chosen}
    for assignment in assignments:
        ((name, values),) = parse_assignment(assignment).items()
        if name not in options:
            raise unknown("chosen score", name, options) if name in known else unknown("score", name, known)
        if not isinstance(values, Mapping):
            raise ConfigError(f"--set {short(assignment)}: expected {name}.OPTION=VALUE")
        options[name] |= values
    found = {
        name: parse_component(plugins, "score", {**given, "name": name}, name)
        for name, given in options.items()
    }
    return {name: config for name, config in found.items() if isinstance(config, ScoreConfig)}


def warn_of_missing(scores: Mapping[str, ScoreConfig]) -> None:
    """Say before any work which scores will not be available, and why."""
    for name, config in scores.items():
        if reason := config.missing():
            _log.warning("score '%s' will not be available: %s", name, reason)
