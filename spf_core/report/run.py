"""The page of one run: what it learnt, what else changed, how it was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spf_core.checkpoint import ADAPTER_FILE
from spf_core.data import Row, open_rgb
from spf_core.evaluation.plots import frontier_figure
from spf_core.report import texts
from spf_core.report.arms import Arm
from spf_core.report.html import Html, document, facts, folded, image, join, paragraph, plot, section, tag
from spf_core.report.leakage import leakage
from spf_core.report.pairs import ROLES, run_rows, slider
from spf_core.report.plots import curves_figure
from spf_core.report.scores import cards, frontier_table, measures
from spf_core.report.settings import environment, hashes, settings
from spf_core.report.sources import picture, vector
from spf_core.runlog import read_metrics

Part = tuple[str, str, Html]
TRAINING_PICTURES = 12


def run_page(run: Path, config: Mapping[str, Any], rows: list[Row], arm: Arm | None, look: Html) -> str:
    """The page as HTML; `look` shows attention and control map, or says why not."""
    taught = arm.results["target_text"] if arm else next((row.target_text for row in rows), "one attribute")
    parts = [
        *(_pictures(arm) if arm else [_nothing_evaluated(run)]),
        ("attention", "Attention", section("attention", "Where the target is looked at", look)),
        *(_scores(arm) if arm else []),
        _training(run, config, rows, arm),
        _settings(run, arm),
    ]
    return document(f"{taught}: {run.name}", _header(run, config, taught, arm), parts)


def _header(run: Path, config: Mapping[str, Any], taught: str, arm: Arm | None) -> Html:
    label = arm.results["suite_label"] if arm else "not evaluated"
    lead = (
        f"Preset `{config.get('preset')}` on backbone `{config.get('backbone', {}).get('name')}`, taught "
        f"“{taught}” and meant to leave all else as it was."
    )
    return tag(
        "header",
        tag("p", label, class_="label"),
        tag("h1", f"“{taught}”"),
        paragraph(lead, class_="lead"),
        *((cards(arm.results),) if arm else ()),
    )


def _nothing_evaluated(run: Path) -> Part:
    words = texts.NO_EVALUATION.format(run=run)
    return "pictures", "Pictures", section("pictures", "Pictures", paragraph(words, class_="missing"))


def _pictures(arm: Arm) -> list[Part]:
    if not arm.first:
        lack = paragraph(texts.NO_PICTURES, class_="missing")
        return [("pictures", "Pictures", section("pictures", "Pictures", lack))]
    kept = arm.pictures(arm.first[0]).roles
    titles = [(role, ROLES[role]) for role in ("tuned", "prompted", "tuned-base") if role in kept]
    hero = slider(titles, arm.rows[arm.first[0]], kept["original"], kept["tuned"])
    return [
        (
            "before-after",
            "Before and after",
            section("before-after", "Before and after", paragraph(texts.BEFORE_AFTER), hero),
        ),
        (
            "first",
            "First prompts",
            section(
                "first",
                "The first prompts, which nobody chose",
                paragraph(texts.QUADRUPLE),
                run_rows(arm, arm.first),
            ),
        ),
        (
            "worst",
            "Worst",
            section("worst", "The worst pairs", paragraph(texts.WORST), run_rows(arm, arm.worst)),
        ),
    ]


def _scores(arm: Arm) -> list[Part]:
    results = arm.results
    parts = [
        measures({"this run": results}),
        tag("h3", "Leakage"),
        paragraph(texts.LEAKAGE),
        leakage(results),
    ]
    if "frontier" in results:
        figure = frontier_figure("Adapter strengths", {"tuned": results["frontier"]["points"]})
        alt = "Effect against 1 - SPI at each adapter strength; the numbers are in the table below"
        parts += [
            tag("h3", "Strength frontier"),
            tag("div", plot(vector(figure), alt, texts.FRONTIER), class_="plots"),
        ]
        parts.append(frontier_table(results["frontier"]))
    return [("scores", "Scores", section("scores", "Scores", *parts))]


def _training(run: Path, config: Mapping[str, Any], rows: list[Row], arm: Arm | None) -> Part:
    parts: list[str] = []
    if rows:
        shown = rows[:TRAINING_PICTURES]
        tiles = [tag("figure", image(picture(open_rgb(row.image)), row.base_text)) for row in shown]
        bias = (
            ", ".join(f"{key} {value}" for key, value in arm.results["training_bias"].items()) if arm else ""
        )
        shared = f" All of them share {bias}, which no text mentions." if bias else ""
        parts += [paragraph(f"{len(rows)} training pictures, the first {len(shown)} here.{shared}")]
        parts.append(tag("div", *tiles, class_="tiles steps"))
    else:
        parts.append(paragraph(f"The training folder `{config.get('data')}` is not here any more."))
    return "training", "Training", section("training", "Training", *parts, _curves(run))


def _curves(run: Path) -> Html:
    lines = read_metrics(run)
    if not lines:
        return paragraph("No step was logged.")
    steps = [line["step"] for line in lines]
    terms = {
        name: ([line["step"] for line in lines if name in line["terms"]], _term(lines, name))
        for name in dict.fromkeys(name for line in lines for name in line["terms"])
    }
    total = {"loss": (steps, [line["loss"] for line in lines])}
    alt = f"Training loss over {steps[-1]} steps, from {lines[0]['loss']:.3g} to {lines[-1]['loss']:.3g}"
    first = plot(vector(curves_figure("Loss, the weighted sum", total)), alt)
    names = ", ".join(terms)
    return join(
        [
            tag(
                "div",
                first,
                plot(
                    vector(curves_figure("Its terms, weighted", terms)),
                    f"Weighted terms over the steps: {names}",
                ),
                class_="plots",
            ),
            facts(_costs(lines)),
        ]
    )


def _term(lines: list[dict[str, Any]], name: str) -> list[float]:
    return [line["terms"][name]["weighted"] for line in lines if name in line["terms"]]


def _costs(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    seconds = sum(line["seconds"] for line in lines)
    return [
        ("steps", str(lines[-1]["step"])),
        ("time", f"{seconds:.0f} s, {seconds / len(lines):.2f} s a step"),
        ("peak memory", f"{max(line['peak_memory_mib'] for line in lines):,.0f} MiB"),
    ]


def _settings(run: Path, arm: Arm | None) -> Part:
    known = hashes(run / ADAPTER_FILE)
    if arm:
        known += environment(arm.results)
    body = [facts(known), folded("All settings of the run (config.yaml)", settings(run / "config.yaml"))]
    return "settings", "Settings", section("settings", "Settings and hashes", *body)
