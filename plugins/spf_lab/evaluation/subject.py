"""What a run is judged on: the suite and the target it was trained towards, and texts it has seen."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spf_core.config.sections import DatasetSection
from spf_core.data import readable_rows
from spf_core.errors import ConfigError, PluginError, unknown
from spf_core.interfaces import Limited, Suite
from spf_core.plugins.building import built
from spf_core.plugins.discovery import Plugins
from spf_core.utils.paths import refuse_lost

AS_IT_IS = DatasetSection()
_log = logging.getLogger("spf")


@dataclass(frozen=True)
class Subject:
    """A suite with the target to judge, and what is known of the training folder."""

    suite_name: str
    suite: Suite
    target: str
    target_text: str | None = None  # the text trained most often, when the folder is still there
    bias: Mapping[str, str] = field(default_factory=dict)
    seen_texts: frozenset[str] = frozenset()


def ceiling_of(suite: Suite, target: str) -> dict[str, dict[str, float | None]]:
    """What the suite's judges say of a perfect edit: scores of all prompts and of each stratum."""
    if not isinstance(suite, Limited):
        return {}
    return {name: dict(scores) for name, scores in suite.ceiling(target).items()}


def find_subject(
    data: str | None,
    plugins: Plugins,
    *,
    suite: str | None = None,
    target: str | None = None,
    dataset: DatasetSection = AS_IT_IS,
) -> Subject:
    """Find who knows the training folder `data`; `suite` and `target` override what the folder says.

    `dataset` says how its texts are read.

    ConfigError when no suite recognises the folder and no target is given, or no suite has the target.
    """
    suites = _suites(plugins, suite)
    folder = Path(data) if data else None
    texts = _texts(folder, dataset)
    usual = Counter(complement for _, complement in texts).most_common(1)
    trained, seen = (usual[0][0] if usual else None), frozenset(base for base, _ in texts)
    for name, known in suites.items():
        facts = known.recognise(folder) if folder else None
        if facts and target in (None, facts.target):
            return Subject(name, known, facts.target, trained, facts.bias, seen)
    if target is None:
        refuse_lost(data, "data")
        raise ConfigError(_unrecognised(folder, suites))
    for name, known in suites.items():
        if target in known.targets:
            return Subject(name, known, target, trained, {}, seen)
    raise unknown("target", target, {each for known in suites.values() for each in known.targets})


def is_known(data: str | None, plugins: Plugins) -> bool:
    """Whether any suite recognises the training folder."""
    folder = Path(data) if data else None
    return folder is not None and any(suite.recognise(folder) for suite in _suites(plugins, None).values())


def _suites(plugins: Plugins, name: str | None) -> dict[str, Suite]:
    if name is not None:
        return {name: built(plugins.get(name, "suite"))}
    suites: dict[str, Suite] = {}
    for known, entry in plugins.of_kind("suite").items():
        try:
            suites[known] = built(entry.config)
        except PluginError as error:  # nobody asked for this one
            _log.warning("%s", error)
    return suites


def _unrecognised(folder: Path | None, suites: Mapping[str, Suite]) -> str:
    known = sorted({target for suite in suites.values() for target in suite.targets})
    reason = "the run records no training folder"
    if folder is not None:
        missing = "" if folder.is_dir() else " (it is not there any more)"
        reason = f"no suite knows what training folder '{folder}' teaches{missing}"
    return f"{reason}; name the target to judge with --target, one of: {', '.join(known) or 'none'}"


def _texts(folder: Path | None, dataset: DatasetSection) -> list[tuple[str, str]]:
    """Base and target texts of the folder's rows; none when it is gone, as weights outlive their data."""
    if folder is None or not folder.is_dir():
        return []
    return [(row.base_text, row.target_text) for row in readable_rows(folder, dataset)]
