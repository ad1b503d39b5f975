"""The sample grids that training drew: the newest, and the earlier ones folded."""

import re
from collections.abc import Callable
from pathlib import Path

from spf_core.data import open_rgb
from spf_core.errors import DataError
from spf_lab.report.html import Html, folded, image, paragraph, section, tag
from spf_lab.report.sources import WIDE, picture
from spf_lab.report.texts import GRIDS, NO_GRIDS

TITLES = {
    "grid": "Training texts: the base model above, the tuned model below",
    "prompts": "Validation prompts: the base model above, the tuned model below",
    "maps": "Training images with the target's attention and the control map",
}


def grids_of(run: Path) -> dict[int, dict[str, Path]]:
    """The run's sample grids: step, the last first -> name -> file."""
    found: dict[int, dict[str, Path]] = {}
    for file in sorted((run / "samples").glob("step-*.png"), reverse=True):
        if (name := re.fullmatch(r"step-(\d+)-(\w+)", file.stem)) and name[2] in TITLES:
            found.setdefault(int(name[1]), {})[name[2]] = file
    return found


def sampled(run: Path) -> tuple[str, str, Html]:
    """The part of the page with the grids, which the page holds itself."""
    shown = grids(run, _inside)
    parts = [paragraph(GRIDS), *shown] if shown else [paragraph(NO_GRIDS)]
    return "samples", "Samples", section("samples", "Samples during training", *parts)


def grids(run: Path, source: Callable[[Path], str | None]) -> list[Html]:
    """The grids, those before the last step's folded; `source` is where a browser finds a file."""
    shown = []
    for place, (step, files) in enumerate(grids_of(run).items()):
        figures = [_figure(step, name, source(files[name])) for name in TITLES if name in files]
        if place == 0:
            shown += [tag("h3", f"Step {step}"), tag("div", *figures, class_="grids")]
        else:
            shown.append(folded(f"Step {step}", tag("div", *figures, class_="grids")))
    return shown


def _figure(step: int, name: str, source: str | None) -> Html:
    title = TITLES[name]
    if source is None:
        return paragraph(f"{title}: the picture of step {step} is damaged.", class_="missing")
    shown = image(source, f"{title}, after step {step}", loading="lazy")
    box = tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label=f"{title}, step {step}")
    return tag("figure", tag("figcaption", title), box)


def _inside(file: Path) -> str | None:
    try:
        return picture(open_rgb(file), WIDE)
    except (DataError, OSError):
        return None
