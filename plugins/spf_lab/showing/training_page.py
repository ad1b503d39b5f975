"""A run folder's own page while it trains: where it is, curves, sample grids, purity and settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from spf_core.runs.run import CONFIG_FILE
from spf_core.training.run_log import read_metrics
from spf_lab.report.html import Html, document, facts, folded, paragraph, section, tag
from spf_lab.report.samples import grids
from spf_lab.report.settings import settings
from spf_lab.showing.curves import Curve, curves_svg
from spf_lab.showing.texts import FINISHED, GRIDS, LIVE_FOOT, NO_GRIDS, PURITY, STALE

MOST_LINES = 1000  # of metrics.jsonl that the curves show
SCORES = {
    ("Purity from 0 to 100", 100.0): ("sps", "rec"),
    ("Shares from 0 to 1", 1.0): ("effect", "spi", "hit_rate", "base_leak"),
}


@dataclass(frozen=True)
class Progress:
    """Where a run is: its stage, the step of `steps`, and the time it still needs if that is known."""

    stage: str
    step: int
    steps: int
    seconds_left: float | None
    refresh: int | None  # seconds after which a browser looks again; None when the run is finished
    written: datetime


def training_page(run: Path, title: str, at: Progress) -> str:
    """The page as HTML. Pictures are links into the run folder."""
    lines = read_metrics(run, most=MOST_LINES)
    parts = [
        ("samples", "Samples", section("samples", "Samples", *_samples(run))),
        ("curves", "Curves", section("curves", "Curves", *_curves(lines, at.steps))),
    ]
    if purity := _measured(run):
        parts.insert(1, ("purity", "Purity", section("purity", "Purity", *_purity(purity, at.steps))))
    shown = folded("All settings of the run (config.yaml)", settings(run / CONFIG_FILE))
    parts.append(("settings", "Settings", section("settings", "Settings", facts(_costs(lines)), shown)))
    return document(
        f"{at.step}/{at.steps} {run.resolve().name}",
        _header(run, title, at),
        parts,
        foot=LIVE_FOOT,
        refresh=at.refresh,
    )


def _header(run: Path, title: str, at: Progress) -> Html:
    name, running = run.resolve().name, at.refresh is not None
    left = "" if at.seconds_left is None or not running else f" · about {_time(at.seconds_left)} left"
    state = f"step {at.step} of {at.steps}{left}"
    bar = tag("progress", value=str(at.step), max=str(at.steps), aria_label=state)
    moment = at.written.isoformat(timespec="seconds")
    when = tag("time", at.written.strftime("%Y-%m-%d %H:%M:%S"), datetime=moment)
    stale = tag(
        "p",
        STALE,
        class_="missing",
        hidden=True,
        data_stale=moment,
        data_after=str(10 * (at.refresh or 0) + 600),
    )
    return tag(
        "header",
        tag("p", at.stage, class_="label"),
        tag("h1", f"“{title}”"),
        tag("div", bar, tag("p", state, class_="says"), class_="state"),
        tag("p", f"{name} · written ", when, class_="small"),
        *((stale,) if running else (paragraph(FINISHED.format(run=name)),)),
    )


def _samples(run: Path) -> list[Html]:
    shown = grids(run, lambda file: file.relative_to(run).as_posix())
    return [paragraph(GRIDS), *shown] if shown else [paragraph(NO_GRIDS)]


def _curves(lines: Sequence[Mapping[str, Any]], steps: int) -> list[Html]:
    if not lines:
        return [paragraph("No step is made yet.")]
    passed = [line["step"] for line in lines]
    total: dict[str, Curve] = {"loss": (passed, [line["loss"] for line in lines])}
    names = dict.fromkeys(name for line in lines for name in line["terms"])
    terms: dict[str, Curve] = {}
    for name in names:
        with_it = [line for line in lines if name in line["terms"]]
        terms[name] = (
            [line["step"] for line in with_it],
            [line["terms"][name]["weighted"] for line in with_it],
        )
    figures = [_figure("Loss, the weighted sum", total, steps)]
    if len(terms) > 1:
        figures.append(_figure("Its terms, weighted", terms, steps))
    return [tag("div", *figures, class_="plots")]


def _measured(run: Path) -> list[dict[str, Any]]:
    if not (run / "purity.jsonl").is_file():  # else what follows would import much, beside a training
        return []
    from spf_lab.evaluation.during_training import read_purity

    return read_purity(run)


def _purity(lines: Sequence[Mapping[str, Any]], steps: int) -> list[Html]:
    figures = []
    for (title, top), names in SCORES.items():
        measured: dict[str, Curve] = {}
        for name in names:
            known = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            if known:
                measured[name] = [step for step, _ in known], [value for _, value in known]
        figures.append(_figure(title, measured, steps, (0.0, top)))
    return [paragraph(PURITY), tag("div", *figures, class_="plots")]


def _figure(
    title: str, curves: Mapping[str, Curve], steps: int, limits: tuple[float, float] | None = None
) -> Html:
    name = f"{title}, over the steps: {', '.join(curves)}"
    return tag("figure", tag("figcaption", title), curves_svg(name, curves, steps, limits), class_="plot")


def _costs(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    if not lines:
        return []
    seconds = sorted(line["seconds"] for line in lines)[len(lines) // 2]
    return [
        ("preparation", _time(lines[-1].get("preparation_seconds", 0.0))),
        ("time of a step", f"{seconds:.2f} s (median)"),
        ("peak memory", f"{max(line['peak_memory_mib'] for line in lines):,.0f} MiB"),
    ]


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
