"""The page of one run: its images, scores, training and settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spf_core.data import Row
from spf_core.runs.checkpoint import ADAPTER_FILE
from spf_lab.evaluation.plots import frontier_figure
from spf_lab.report import texts
from spf_lab.report.arms import Arm
from spf_lab.report.html import Html, document, facts, folded, paragraph, plot, section, tag, verdict_box
from spf_lab.report.leakage import leakage
from spf_lab.report.pairs import ROLES, run_rows
from spf_lab.report.samples import sampled
from spf_lab.report.scores import cards, frontier_table, measures
from spf_lab.report.sections import Part
from spf_lab.report.settings import environment, hashes, settings
from spf_lab.report.slider import slider
from spf_lab.report.sources import vector
from spf_lab.report.verdict import run_verdict


def run_page(
    run: Path,
    config: Mapping[str, Any],
    rows: list[Row],
    arm: Arm | None,
    look: Html,
    added: Mapping[str, list[Part]],
) -> str:
    """The page as HTML; `look` shows attention and control map, or the reason why they are absent.

    `added` are the sections of plugins by the part before which they stand.
    """
    taught = arm.results["target_text"] if arm else next((row.target_text for row in rows), "one attribute")
    parts = [
        *added["pictures"],
        *(_pictures(arm) if arm else [sampled(run)]),
        ("attention", "Attention", section("attention", "Attention to the target", look)),
        *added["scores"],
        *(_scores(arm) if arm else []),
        *added["settings"],
        _settings(run, arm),
    ]
    return document(f"{taught}: {run.name}", _header(run, config, taught, arm), parts)


def _header(run: Path, config: Mapping[str, Any], taught: str, arm: Arm | None) -> Html:
    label = arm.results["suite_label"] if arm else "not evaluated"
    lead = (
        f"Preset `{config.get('preset')}` on backbone `{config.get('backbone', {}).get('name')}`, trained "
        f"on “{taught}”. All else should stay as in the base model."
    )
    if arm:
        verdict = verdict_box(run_verdict(arm.results))
    else:
        verdict = paragraph(texts.NO_EVALUATION.format(run=run.resolve().name), class_="verdict fair")
    return tag(
        "header",
        tag("p", label, class_="label"),
        tag("h1", f"“{taught}”"),
        verdict,
        paragraph(lead, class_="lead"),
    )


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
                "The first prompts (not selected)",
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
        cards(results),
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
        parts.append(frontier_table(results))
    return [("scores", "Scores", section("scores", "Scores", *parts))]


def _settings(run: Path, arm: Arm | None) -> Part:
    known = hashes(run / ADAPTER_FILE)
    if arm:
        known += environment(arm.results)
    body = [facts(known), folded("All settings of the run (config.yaml)", settings(run / "config.yaml"))]
    return "settings", "Settings", section("settings", "Settings and hashes", *body)
