"""How presets compare on a target: plots of scores, of ablations and of what drifts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spf_lab.benchmark.effect_purity_plot import effect_purity_figure
from spf_lab.benchmark.figures import target_figures
from spf_lab.benchmark.literature_table import literature_notes, literature_table
from spf_lab.benchmark.styles import Style, styles_of
from spf_lab.benchmark.tables import HEADLINE, test_table
from spf_lab.benchmark.texts import LEAKAGE, LITERATURE, TESTS
from spf_lab.evaluation.plots import frontier_figure
from spf_lab.report import texts
from spf_lab.report.arms import Arm, Json
from spf_lab.report.html import Html, folded, paragraph, plot, table, tag
from spf_lab.report.plots import bars_figure, dots_figure, drift, drift_figure
from spf_lab.report.sources import vector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMITS = {
    "sps": (0, 100),
    "effect": (0, 1),
    "spi": (0, 1),
    "rec": (0, 100),
    "hit_rate": (0, 1),
    "base_leak": (0, 1),
}


def score_plots(target: str, results: Json, arms: Sequence[Arm]) -> Html:
    """Effect against purity, and each score as dots with intervals."""
    rows: Mapping[str, Json] = results["targets"][target]["presets"]
    alt = f"Effect against 1 - SPI of every preset on {target}; the numbers are in the table of scores"
    figures = [plot(vector(_plane(target, results, arms)), alt, texts.PLANE)]
    colours = {name: look.colour for name, look in _looks(results).items()}
    for name, limits in LIMITS.items():
        title = " ".join(HEADLINE[name])
        alt = f"{title} of every preset on {target}: {_spoken(rows, name)}"
        figures.append(plot(vector(dots_figure(title, rows, name, limits, colours)), alt))
    return tag("div", *figures, class_="plots")


def variants(target: str, results: Json) -> list[Html]:
    """Bars of the reference and its variants, and the leakage of every preset; nothing for a demo."""
    if "benchmark" not in results:
        return []
    rows: Mapping[str, Json] = results["targets"][target]["presets"]
    figures = target_figures(target, results, rows)
    shown = []
    if "ablations" in figures:
        alt = f"{results['reference']} and its variants on {target}; the numbers are in the table of scores"
        shown.append(plot(vector(figures["ablations"]), alt))
    if "leakage" in figures:
        most = {name: _leaks_most(row) for name, row in rows.items()}
        alt = ", ".join(f"{name} most in {leak}" for name, leak in most.items())
        shown.append(plot(vector(figures["leakage"]), f"Leakage on {target}: {alt}", LEAKAGE))
    return [tag("div", *shown, class_="plots")] if shown else []


def literature(target: str, rows: Mapping[str, Json]) -> list[Html]:
    """The scores of the literature; nothing where none was computed."""
    if not any(row.get("scores") for row in rows.values()):
        return []
    notes = [paragraph(note) for note in literature_notes(rows)]
    title = f"Scores of the literature on {target}"
    shown = table(title, *literature_table(rows))
    return [folded("Scores of the literature", paragraph(LITERATURE), shown, *notes)]


def _plane(target: str, results: Json, arms: Sequence[Arm]) -> "Figure":
    rows = results["targets"][target]["presets"]
    if "benchmark" in results:
        return effect_purity_figure(f"{target}: effect and purity", results, rows)
    swept = {arm.name: arm.results["frontier"]["points"] for arm in arms if "frontier" in arm.results}
    curves = {name: swept.get(name, [row]) for name, row in rows.items()}
    return frontier_figure(f"{target}: effect and purity", curves)


def _looks(results: Json) -> Mapping[str, Style]:
    return styles_of(results) if "benchmark" in results else {}


def _leaks_most(row: Json) -> str:
    leaks = row["leakage"]
    name = max(leaks, key=lambda attribute: abs(leaks[attribute]["value"] or 0.0))
    return f"{name} ({abs(leaks[name]['value'] or 0.0):.1f})"


def _spoken(rows: Mapping[str, Json], name: str) -> str:
    values = {preset: row[name]["value"] for preset, row in rows.items()}
    return ", ".join(f"{preset} {value:.3g}" for preset, value in values.items() if value is not None)


def ablations(target: str, found: Json, reference: str) -> list[Html]:
    """What the reference gains over the others; nothing where no test was made."""
    tests = found.get("paired_tests") or []
    if not tests:
        return []
    figures = []
    for measure in dict.fromkeys(test["measure"] for test in tests):
        of_measure = [test for test in tests if test["measure"] == measure]
        title = f"{HEADLINE[measure][0]}: {reference} less the other"
        said = {test["against"]: {measure: test["difference"]} for test in of_measure}
        alt = f"{title} on {target}: {_spoken(said, measure)}"
        figures.append(plot(vector(bars_figure(title, of_measure)), alt))
    words = TESTS.format(reference=reference)
    return [
        tag("h3", "Ablations and baselines"),
        paragraph(texts.BARS.format(reference=reference)),
        tag("div", *figures, class_="plots"),
        folded("All paired tests", paragraph(words), table(f"Paired tests on {target}", *test_table(tests))),
    ]


def drifts(target: str, arms: Sequence[Arm]) -> list[Html]:
    """Which attributes drift under each preset; nothing where the evaluations are gone."""
    if not arms:
        return []
    moved = {arm.name: drift(arm.results) for arm in arms}
    most = {name: max(row, key=lambda key: row[key]) for name, row in moved.items() if row}
    alt = ", ".join(f"{name} most in {key} ({moved[name][key]:.0f})" for name, key in most.items())
    figure = drift_figure(f"{target}: what drifts", moved)
    shown = plot(vector(figure), f"Drift of attributes on {target}: {alt}", texts.DRIFT)
    return [tag("h3", "Leakage"), tag("div", shown, class_="plots")]
