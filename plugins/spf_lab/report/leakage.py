"""The leakage matrix of a run: a chip for every attribute value, coloured by how far it moved."""

import numpy as np

from spf_lab.evaluation.plots import SIGNIFICANT, STRONGEST
from spf_lab.report.arms import Json
from spf_lab.report.html import Html, join, paragraph, tag

_MAP = "RdBu_r"


def leakage(results: Json) -> Html:
    """Attributes down, their values as chips: colour L, number the shift in points, a dot where q < 0.05."""
    rows = results["leakage"]
    if not rows:
        return paragraph("No judge of attributes took part in this evaluation.", class_="missing")
    strengths = [abs(leak["value"] or 0.0) for row in rows.values() for leak in row.values()]
    limit = float(np.clip(max(strengths), 1.0, STRONGEST))
    allowed = results["allowed_attributes"]
    lines = [
        tag(
            "div",
            tag("dt", name.replace("_", " "), *((tag("span", " may change"),) if name in allowed else ())),
            tag("dd", *(_chip(value, leak, limit) for value, leak in row.items())),
        )
        for name, row in rows.items()
    ]
    return join([tag("dl", *lines, class_="leakage"), _scale(limit)])


def _chip(value: str, leak: Json, limit: float) -> Html:
    strength = leak["value"] or 0.0
    shade, mark = _shade(strength, limit), " ●" if leak["q"] < SIGNIFICANT else ""
    ink = "#ffffff" if abs(strength) > 0.6 * limit else "#1b1d22"
    points = f" {signed(leak['shift']['value'] or 0.0)}{mark}"
    style = f"background: {shade}; color: {ink}"
    return tag("span", value, tag("b", points), style=style, class_="chip")


def signed(points: float) -> str:
    """`+3`, `-3`, or 0 without a sign."""
    return f"{round(points):+d}" if round(points) else "0"


def _scale(limit: float) -> Html:
    shades = ", ".join(_shade(limit * place / 4, limit) for place in range(-4, 5))
    bar = tag("span", "", class_="bar", style=f"background: linear-gradient(90deg, {shades})")
    words = f"{limit:+.1f} re-seed standard deviations; numbers: percentage points; ● q < {SIGNIFICANT}"
    return tag("p", f"{-limit:.1f}", bar, words, class_="scale")


def _shade(strength: float, limit: float) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps[_MAP](0.5 + 0.5 * max(-1.0, min(1.0, strength / limit))))
