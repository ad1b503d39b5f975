"""What a run is judged on: the suite and the target it was trained towards, and what it was trained with."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from spf_core.config.loading import parse_component
from spf_core.config.merging import options_by_name, parse_assignment
from spf_core.config.sections import DatasetSection
from spf_core.data import Row, readable_rows
from spf_core.errors import ConfigError, PluginError, short, unknown
from spf_core.interfaces import AnyTarget, Limited, Suite
from spf_core.plugins.building import built
from spf_core.plugins.configs import DataReaderConfig
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
    examples: tuple[Row, ...] = ()  # training rows with that text


class _World(NamedTuple):
    """A suite, and the backbones that draw its world; none where any may."""

    suite: Suite
    backbones: tuple[str, ...]

    def drawn_by(self, backbone: str | None) -> bool:
        return not self.backbones or backbone is None or backbone in self.backbones


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
    reader: DataReaderConfig | None = None,
    backbone: str | None = None,
    options: Sequence[str] = (),
) -> Subject:
    """Find who judges a run that was trained on the folder `data`, with the model `backbone`.

    That is the suite that recognises the folder; else one that has the target and whose world the backbone
    draws; else one that judges any target text, on `target` or the text that the folder trains most often.
    `suite` and `target` override what the folder says, `dataset` and `reader` say how it is read, and
    `options` set the suite's as NAME.OPTION=VALUE. ConfigError when nobody judges the run, or an option is
    not there.
    """
    folder = Path(data) if data else None
    rows = _rows(folder, dataset, reader)
    usual = Counter(row.target_text for row in rows if row.target_text).most_common(1)
    trained = usual[0][0] if usual else None
    worlds = _worlds(plugins, suite, options)
    name, found, of_folder = _choose(worlds, folder, data, suite, target or None, trained, backbone)
    _refuse_unused(options, name)
    return Subject(
        name,
        found,
        target=of_folder[0],
        target_text=trained,
        bias=of_folder[1],
        seen_texts=frozenset(row.base_text for row in rows),
        examples=tuple(row for row in rows if row.target_text == trained),
    )


def is_known(data: str | None, plugins: Plugins) -> bool:
    """Whether any suite recognises the training folder."""
    folder = Path(data) if data else None
    worlds = _worlds(plugins, None, ()).values()
    return folder is not None and any(world.suite.recognise(folder) for world in worlds)


def _choose(
    worlds: Mapping[str, _World],
    folder: Path | None,
    data: str | None,
    asked: str | None,
    target: str | None,
    trained: str | None,
    backbone: str | None,
) -> tuple[str, Suite, tuple[str, Mapping[str, str]]]:
    """Name of the suite, the suite, and the target with the bias of the training folder."""
    known = {
        name: facts for name, each in worlds.items() if folder and (facts := each.suite.recognise(folder))
    }
    for name, facts in known.items():
        if target in (None, facts.target):
            return name, worlds[name].suite, (facts.target, facts.bias)
    drawn = {name: each for name, each in worlds.items() if name in known or each.drawn_by(backbone)}
    for name, world in drawn.items():
        if target in world.suite.targets:
            assert target is not None
            return name, world.suite, (target, {})
    if asked is not None and asked not in drawn:
        raise ConfigError(_not_its_world(asked, backbone, worlds[asked]))
    any_target = {name: each.suite for name, each in worlds.items() if isinstance(each.suite, AnyTarget)}
    elsewhere = asked is None and (known or any(each.backbones for each in drawn.values()))
    wanted = target or trained
    if any_target and wanted is not None and not elsewhere:
        name, judge = next(iter(any_target.items()))
        return name, judge.for_target(wanted), (wanted, {})
    if target is None:
        refuse_lost(data, "data")
        raise ConfigError(_unrecognised(folder, drawn, bool(any_target) and not elsewhere))
    raise unknown("target", target, {each for world in drawn.values() for each in world.suite.targets})


def _worlds(plugins: Plugins, name: str | None, options: Sequence[str]) -> dict[str, _World]:
    given = options_by_name(options)
    if name is not None:
        chosen = plugins.get(name, "suite")
        return {name: _World(_built(plugins, name, given.get(name, {})), _backbones(chosen))}
    worlds: dict[str, _World] = {}
    for known, entry in plugins.of_kind("suite").items():
        try:
            worlds[known] = _World(_built(plugins, known, given.get(known, {})), _backbones(entry.config))
        except PluginError as error:  # nobody asked for this one
            _log.warning("%s", error)
    return worlds


def _built(plugins: Plugins, name: str, options: Mapping[str, Any]) -> Suite:
    suite: Suite = built(parse_component(plugins, "suite", {**options, "name": name}, name))
    return suite


def _backbones(config: Any) -> tuple[str, ...]:
    return tuple(config.backbones)


def _refuse_unused(assignments: Sequence[str], name: str) -> None:
    for assignment in assignments:
        (of,) = parse_assignment(assignment)
        if of != name:
            raise ConfigError(
                f"--set {short(assignment)}: suite '{name}' judges this run; leave the option out, or choose "
                f"--suite {of}"
            )


def _not_its_world(name: str, backbone: str | None, world: _World) -> str:
    return (
        f"--suite {name}: its judges know only pictures of {world.suite.label}, which backbone '{backbone}' "
        "was not made to draw; leave out --suite, and another suite judges the run"
    )


def _unrecognised(folder: Path | None, worlds: Mapping[str, _World], any_text: bool) -> str:
    known = sorted({target for world in worlds.values() for target in world.suite.targets})
    reason = "the run records no training folder"
    if folder is not None:
        missing = "" if folder.is_dir() else " (it is not there any more)"
        reason = f"no suite knows what training folder '{folder}' teaches{missing}"
    if any_text:
        return f"{reason}, and it names no target text; name what to judge, as in --target 'a red hat'"
    return f"{reason}; name the target to judge with --target, one of: {', '.join(known) or 'none'}"


def _rows(folder: Path | None, dataset: DatasetSection, reader: DataReaderConfig | None) -> list[Row]:
    """The folder's rows; none when it is gone, as weights outlive their data."""
    return readable_rows(folder, dataset, reader) if folder is not None and folder.exists() else []
