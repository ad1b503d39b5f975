"""The page of several presets side by side: a benchmark, or a demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spf_core.data import open_rgb
from spf_lab.benchmark.contact_sheet import WORST_SHOWN
from spf_lab.benchmark.tables import (
    grouped,
    mean_ceiling,
    overview_table,
    score_table,
    shown_by_original,
    sign_table,
    strata_table,
)
from spf_lab.benchmark.texts import (
    BEST,
    LEGEND,
    NO_SIGNS,
    OVERVIEW,
    SIGNS,
    STRATA,
    chosen_words,
    missing_words,
    signs_title,
    targets_words,
)
from spf_lab.report import texts
from spf_lab.report.arms import Arm, Json
from spf_lab.report.evidence import ablations, drifts, literature, score_plots, variants
from spf_lab.report.html import (
    Html,
    document,
    folded,
    image,
    join,
    paragraph,
    section,
    table,
    tag,
    verdict_box,
)
from spf_lab.report.pairs import arm_rows, run_rows
from spf_lab.report.slider import slider
from spf_lab.report.sources import picture
from spf_lab.report.verdict import comparison_verdict


@dataclass(frozen=True)
class Compared:
    """What the page shows. `results` is a benchmark's results.json; arms and attention parts by target."""

    title: str
    label: str
    lead: str
    results: Json
    arms: Mapping[str, Sequence[Arm]]
    looks: Mapping[str, Html]
    folder: Path
    closing: Html


def comparison_page(shown: Compared) -> str:
    """The page as HTML."""
    results = shown.results
    parts = [
        (f"target-{target}", target, _target(shown, target, found))
        for target, found in results["targets"].items()
    ]
    if results.get("mean_over_targets"):
        parts.insert(0, ("overview", "Overview", section("overview", "Overview", *_overview(results))))
    if "sign_tests" in results:
        parts.append(("signs", "Sign tests", section("signs", "Sign tests", *_signs(results))))
    parts.append(("settings", "Settings", section("settings", "Settings and hashes", shown.closing)))
    header = tag(
        "header",
        tag("p", shown.label, class_="label"),
        tag("h1", shown.title),
        *_verdict(results),
        paragraph(shown.lead, class_="lead"),
        *_incomplete(results),
    )
    return document(f"{shown.title}: {shown.label}", header, parts)


def _verdict(results: Json) -> list[Html]:
    """The verdict over all targets; where there is one target, on it."""
    targets = results["targets"]
    if means := results.get("mean_over_targets"):
        return [verdict_box(comparison_verdict(means, f"over {targets_words(results)}"))]
    return [
        verdict_box(comparison_verdict(found["presets"], f"on {target}")) for target, found in targets.items()
    ]


def _incomplete(results: Json) -> list[Html]:
    missing = results.get("missing") or []
    return [paragraph(missing_words(missing), class_="missing")] if missing else []


def _overview(results: Json) -> list[Html]:
    best = results.get("best_of_families", {})
    notes = [
        paragraph(BEST.format(family=family, chosen=chosen_words(row["chosen"])))
        for family, row in best.items()
    ]
    words = OVERVIEW.format(targets=targets_words(results))
    rows = results["mean_over_targets"]
    strata = _strata("Overview", rows, mean_ceiling(results))
    return [paragraph(words), table("Overview", *overview_table(rows, best)), *strata, *notes]


def _strata(title: str, rows: Mapping[str, Json], ceiling: Json) -> list[Html]:
    """The explicit and the silent prompts apart; nothing for results that do not tell them."""
    head, body = strata_table(rows, ceiling)
    if len(head) == 1:
        return []
    return [paragraph(STRATA), table(f"{title}: explicit and silent prompts", head, body)]


def _target(shown: Compared, target: str, found: Json) -> Html:
    rows, arms = found["presets"], list(shown.arms.get(target, ()))
    first, several = next(iter(rows.values())), bool(shown.results.get("mean_over_targets"))
    words = texts.TARGET.format(
        target_text=found["target_text"],
        prompts=first["n_prompts"],
        seeds=first["n_seeds"],
        original=shown_by_original(rows),
    )
    return section(
        f"target-{target}",
        target,
        *([verdict_box(comparison_verdict(rows, f"on {target}"))] if several else []),
        paragraph(words),
        *_first(shown, target, arms),
        tag("h3", "Scores"),
        score_plots(target, shown.results, arms),
        table(f"Scores on {target}", *score_table(rows)),
        *_strata(target, rows, found.get("ceiling") or {}),
        folded("Meaning of the columns", paragraph(LEGEND)),
        *literature(target, rows),
        *variants(target, shown.results),
        *ablations(target, found, shown.results["reference"]),
        *drifts(target, arms),
        *_worst(arms),
        tag("h3", "Attention to the target"),
        shown.looks[target],
    )


def _first(shown: Compared, target: str, arms: Sequence[Arm]) -> list[Html]:
    """A slider and the first pairs; where the cells are gone, the grid that the benchmark drew of them."""
    shared = [pair for pair in arms[0].first if all(pair in arm.first for arm in arms)] if arms else []
    grids = sorted(shown.folder.glob(f"grid-{target}.*"))
    if not shared:
        alt = f"{target}: the first prompts, by the base model and by the presets with the highest SPS"
        return [_whole_grid(grid, alt) for grid in grids[:1]]
    best = [arm for arm in arms if arm.name == shown.results["reference"]] or list(arms[:1])
    ordered = [*best, *(arm for arm in arms if arm not in best)]
    kept = ordered[0].pictures(shared[0]).roles
    titles = [(arm.name, arm.name) for arm in ordered]
    hero = slider(titles, ordered[0].rows[shared[0]], kept["original"], kept["tuned"])
    return [
        hero,
        tag("h3", "The first prompts (not selected)"),
        paragraph(texts.ARM_ROWS),
        arm_rows(arms, shared),
    ]


def _whole_grid(file: Path, alt: str) -> Html:
    """A picture too wide for a phone, in a box that scrolls."""
    shown = tag("div", image(picture(open_rgb(file), largest=1600), alt), class_="wide")
    box = tag("div", shown, class_="scroll", tabindex="0", role="region", aria_label=alt)
    return join([box, paragraph(texts.GRID)])


def _worst(arms: Sequence[Arm]) -> list[Html]:
    rows = [
        folded(f"{arm.name}: worst pairs by SPI", run_rows(arm, arm.worst[:WORST_SHOWN]))
        for arm in arms
        if arm.worst
    ]
    return [tag("h3", "Worst pairs of each preset"), join(rows)] if rows else []


def _signs(results: Json) -> list[Html]:
    tests = results["sign_tests"]
    if not tests:
        return [paragraph(NO_SIGNS)]
    targets, shown = list(results["targets"]), [paragraph(SIGNS)]
    for (full, prompts), several in grouped(tests).items():
        title = signs_title(full, prompts)
        shown += [
            tag("h3", title.replace("`", "")),
            table(f"The paper's directions, {title}", *sign_table(several, targets)),
        ]
    return shown
