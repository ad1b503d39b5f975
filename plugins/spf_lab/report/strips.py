"""Attention and control map over the timesteps of a sampling, as a part of the page."""

from collections.abc import Sequence
from typing import Any

from spf_lab.attention.types import AttentionMaps
from spf_lab.report.html import Html, image, join, marked, paragraph, tag
from spf_lab.report.pairs import scale
from spf_lab.report.sources import heat, picture
from spf_lab.report.texts import ATTENTION, CONTROL, UNREAD


def strips(maps: AttentionMaps) -> Html:
    """Clean estimates and attention of both models, and the control map; one column for each timestep."""
    about = ATTENTION.format(token=maps.token, seed=maps.seed)
    unread = any(each is None for strip in maps.strips.values() for each in strip.attention)
    parts = [tag("p", tag("q", maps.prompt.complete_text)), paragraph(f"{about} {UNREAD if unread else ''}")]
    for name, strip in maps.strips.items():
        seen = [picture(each) for each in strip.estimates]
        parts.append(_strip(f"{name}: clean estimate", f"{name} model's clean estimate", seen, maps))
        attended = [None if each is None else heat(each, maps.strongest) for each in strip.attention]
        peaks = ["" if each is None else f", strongest {each.max():.2f}" for each in strip.attention]
        parts.append(
            _strip(f"{name}: attention", f"{name} model's attention to {maps.token}", attended, maps, peaks)
        )
    parts.append(scale(maps.strongest, "share of the attention at a position"))
    controls = [strip.control for strip in maps.strips.values() if strip.control]
    for control in controls:
        means = [f", mean {each.mean():.2f}" for each in control]
        tiles = [heat(each, 1.0) for each in control]
        parts += [
            _strip("control map", f"control map {maps.control_map}", tiles, maps, means),
            scale(1.0, "control map"),
            paragraph(CONTROL.format(name=maps.control_map)),
        ]
    return join(parts)


def missing(reason: str) -> Html:
    """The text in place of the maps when the model cannot be used."""
    return tag("p", tag("strong", "No attention maps: "), marked(reason), class_="missing")


def _strip(
    title: str, of: str, tiles: Sequence[str | None], maps: AttentionMaps, more: Sequence[str] = ()
) -> Html:
    figures: list[Any] = []
    for place, (source, t) in enumerate(zip(tiles, maps.timesteps, strict=True)):
        alt = f"{of} at t = {t:.2f}{more[place] if more else ''}"
        shown = (
            tag("div", "not read yet", class_="blank") if source is None else _tile(source, alt, bool(more))
        )
        figures.append(tag("figure", shown, tag("figcaption", f"t = {t:.2f}")))
    return tag("div", tag("h3", title), tag("div", *figures, class_="tiles steps"), class_="strip")


def _tile(source: str, alt: str, sharp: bool) -> Html:
    return image(source, alt, class_="sharp") if sharp else image(source, alt)
