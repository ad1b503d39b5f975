"""Curves as small inline SVG, in the page's own colours: they cost no time beside a training."""

import math
from collections.abc import Mapping, Sequence

from spf_lab.report.html import Html, join, tag
from spf_lab.report.plots import smoothed

Curve = tuple[Sequence[int], Sequence[float]]  # steps and their values

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 480, 220, 52, 12, 8, 24
TICKS = 4


def curves_svg(
    name: str, curves: Mapping[str, Curve], last_step: int, limits: tuple[float, float] | None = None
) -> Html:
    """Values over steps, from 0 to `last_step`; `name` says in words what is drawn.

    With `limits`, values are shown as they are between these. Without, running means are shown, on a scale
    that is logarithmic where all values are positive and far apart.
    """
    drawn = {}
    for title, (steps, values) in curves.items():
        shown = values if limits else smoothed(values)
        kept = [(s, float(v)) for s, v in zip(steps, shown, strict=True) if math.isfinite(v)]
        if kept:
            drawn[title] = kept
    values = [value for points in drawn.values() for _, value in points]
    if not values:
        return tag("p", "No value yet.", class_="small")
    axis = _Axis(*limits, last_step, 0) if limits else _Axis(min(values), max(values), last_step)
    lines = [
        tag(
            "path",
            d="M" + "L".join(f"{axis.x(step):.1f} {axis.y(value):.1f}" for step, value in points),
            class_=f"curve c{number % 6}",
        )
        for number, points in enumerate(drawn.values())
    ]
    dots = [
        tag(
            "circle",
            cx=f"{axis.x(points[-1][0]):.1f}",
            cy=f"{axis.y(points[-1][1]):.1f}",
            r="3",
            class_=f"c{number % 6}",
        )
        for number, points in enumerate(drawn.values())
    ]
    svg = tag(
        "svg",
        *axis.marks(),
        *lines,
        *dots,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=name,
        class_="curves",
    )
    return join([svg, _legend(drawn)])


def _legend(drawn: Mapping[str, Sequence[tuple[int, float]]]) -> Html:
    entries = [
        tag("span", tag("i", "", class_=f"c{number % 6}"), f"{title} {points[-1][1]:.3g}")
        for number, (title, points) in enumerate(drawn.items())
    ]
    return tag("p", *entries, class_="legend")


class _Axis:
    """Where steps and values lie in the picture."""

    def __init__(self, low: float, high: float, last_step: int, room: float = 0.05) -> None:
        self._logarithmic = low > 0 and high > 10 * low
        self._last = max(last_step, 1)
        low, high = self._scaled(low), self._scaled(high)
        margin = room * ((high - low) or abs(low) or 1.0)
        self._low, self._high = low - margin, high + margin

    def x(self, step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self._last

    def y(self, value: float) -> float:
        share = (self._scaled(value) - self._low) / (self._high - self._low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def marks(self) -> list[Html]:
        """Grid lines with the numbers beside them."""
        found = []
        for place in range(TICKS + 1):
            level = self._low + (self._high - self._low) * place / TICKS
            value = 10**level if self._logarithmic else level
            y = f"{self.y(value):.1f}"
            found.append(tag("line", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=y, y2=y, class_="grid"))
            found.append(tag("text", f"{value:.3g}", x=str(LEFT - 6), y=y, dy=".32em", class_="value"))
        for step in dict.fromkeys(round(self._last * place / TICKS) for place in range(TICKS + 1)):
            found.append(tag("text", str(step), x=f"{self.x(step):.1f}", y=str(HEIGHT - 6), class_="step"))
        return found

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._logarithmic else value
