"""Sections of a run's page that plugins bring: their blocks as HTML."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from spf_core.errors import PluginError, quoted
from spf_core.plugins import Facts, Paragraph, Picture, Plots, ReportSection, Table, Tiles
from spf_core.plugins.discovery import Plugins
from spf_core.plugins.report_section import Block
from spf_lab.report.html import Html, facts, image, paragraph, plot, section, table, tag
from spf_lab.report.sources import LARGEST, WIDE, picture, vector

SECONDS = 60.0  # in which a plugin of others must have made its sections
PLACES = ("pictures", "scores", "settings")
BLOCKS = (Paragraph, Facts, Table, Tiles, Plots)
# The anchors of the page's other parts; "main" is its frame.
TAKEN = {"main", "before-after", "first", "worst", "pictures", "samples", "attention", "scores", "settings"}

Part = tuple[str, str, Html]  # anchor, name in the navigation, content


def sections_of(plugins: Plugins, run: Path, evaluation: Path | None, device: str) -> dict[str, list[Part]]:
    """What plugins add to the page of `run`, by the place before which it stands."""
    taken = set(TAKEN)

    def read(returned: Any) -> list[tuple[str, Part]]:
        """All sections of one plugin, or an error: then their names stay free."""
        if not isinstance(returned, list):
            raise PluginError(
                f"spf_report_sections returns {quoted(returned)}; return a list of ReportSection"
            )
        found = [_checked(each) for each in returned]
        names = [each.name for each in found]
        for name in names:
            if name in taken or names.count(name) > 1:
                raise PluginError(f"the report has a section '{name}' already; choose another name")
        made: list[tuple[str, Part]] = [(each.before, _part(each)) for each in found]
        taken.update(names)
        return made

    given = {"run": run, "evaluation": evaluation, "plugins": plugins, "device": device}
    made = plugins.collect("spf_report_sections", read, seconds=SECONDS, **given)
    return {place: [part for before, part in made if before == place] for place in PLACES}


def _checked(given: Any) -> ReportSection:
    """The section; PluginError for what a type checker would refuse."""
    if not isinstance(given, ReportSection):
        raise PluginError(f"spf_report_sections lists {quoted(given)}; return a list of ReportSection alone")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", given.name) or given.name.endswith("-title"):
        raise PluginError(f"section {quoted(given.name)} has no name in kebab case; name it as in my-section")
    if given.before not in PLACES:
        wrong = f"section '{given.name}' has before={quoted(given.before)}"
        raise PluginError(f"{wrong}; use {', '.join(PLACES)}")
    if not isinstance(given.blocks, Sequence):
        raise PluginError(
            f"section '{given.name}' has the blocks {quoted(given.blocks)}; give a list of them"
        )
    for block in given.blocks:
        if not isinstance(block, BLOCKS):
            kinds = ", ".join(each.__name__ for each in BLOCKS)
            raise PluginError(f"section '{given.name}' holds {quoted(block)}, no block; use {kinds}")
    return given


def _part(given: ReportSection) -> Part:
    content = section(given.name, given.title, *(_html(block) for block in given.blocks))
    return given.name, given.title, content


def _html(block: Block) -> Html:
    match block:
        case Paragraph():
            return paragraph(block.text)
        case Facts():
            return facts(block.pairs)
        case Table():
            return table(block.caption, block.head, block.rows)
        case Tiles():
            return _row("tiles steps", block.pictures, _tile)
        case Plots():
            return _row("plots", block.pictures, _plot)
        case _:
            raise AssertionError("checked before")


def _row(style: str, pictures: Iterable[Picture], shown: Callable[[Picture], Html]) -> Html:
    return tag("div", *map(shown, pictures), class_=style)


def _tile(shown: Picture) -> Html:
    below = (tag("figcaption", shown.caption),) if shown.caption else ()
    return tag("figure", image(_source(shown, LARGEST), shown.alt), *below)


def _plot(shown: Picture) -> Html:
    return plot(_source(shown, WIDE), shown.alt, shown.caption)


def _source(shown: Picture, largest: int) -> str:
    """The picture as a data URI."""
    from PIL.Image import Image

    return picture(shown.image, largest) if isinstance(shown.image, Image) else vector(shown.image)
