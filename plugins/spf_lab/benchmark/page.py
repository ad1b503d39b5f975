"""results.md and the pages of all scores: plain functions of what results.json holds. Torch-free."""

from spf_lab.benchmark.folder import RECORD
from spf_lab.benchmark.literature_table import literature_notes, literature_table
from spf_lab.benchmark.main_table import directions_table, main_table
from spf_lab.benchmark.styles import related
from spf_lab.benchmark.tables import (
    ALL,
    Json,
    grouped,
    markdown,
    mean_ceiling,
    overview_table,
    score_table,
    shown_by_original,
    sign_table,
    strata_table,
    test_table,
)
from spf_lab.benchmark.texts import (
    ABLATIONS,
    ALL_SCORES,
    ALL_SIGNS,
    BEST,
    DEFINED,
    GRID,
    LEAKAGE,
    LEGEND,
    LITERATURE,
    NO_MEAN,
    NO_SIGNS,
    OVERVIEW,
    PLANE,
    PREFACE,
    PURITY,
    READING,
    SIGNS,
    STRATA,
    STRENGTHS,
    TESTS,
    WORST,
    chosen_words,
    missing_words,
    signs_title,
    targets_words,
)

REPORT_FILE, PURITY_FILE = "results.md", "sps.png"
SIGNS_FILE, MEANS_FILE = "sign-tests.md", "scores.md"
_SUFFIXES = {"grid": "webp", "worst": "webp", "scores": "md"}


def pages(results: Json) -> dict[str, str]:
    """Every page in Markdown by its file's name: the one to read, and those that hold all numbers."""
    targets = results["targets"].items()
    return {
        REPORT_FILE: _page(results),
        MEANS_FILE: _means(results),
        **{target_file("scores", target): _scores(target, found, results) for target, found in targets},
        **({SIGNS_FILE: _all_signs(results)} if results["sign_tests"] else {}),
    }


def target_file(kind: str, target: str) -> str:
    """Name of a target's file: its plane, leakage, ablations, grid, worst or scores."""
    return f"{kind}-{target}.{_SUFFIXES.get(kind, 'png')}"


def _page(results: Json) -> str:
    parts = [f"# Benchmark: {results['suite_label']}", *_preface(results), READING, *_overview(results)]
    for target, found in results["targets"].items():
        parts += _section(target, found, results)
    return _joined([*parts, *_signs(results), *_reproduce(results)])


def _preface(results: Json) -> list[str]:
    spec, missing = results["benchmark"], results["missing"]
    training = ", ".join(str(seed) for seed in spec["seeds"])
    words = PREFACE.format(suite_label=results["suite_label"], training=training, **spec["evaluation"])
    words += PURITY.format(**results["purity"]) if "purity" in results else ""
    return [words, *([missing_words(missing)] if missing else [])]


def _overview(results: Json) -> list[str]:
    best, rows = results["best_of_families"], results["mean_over_targets"]
    return [
        "## Overview",
        f"{OVERVIEW.format(targets=targets_words(results))} {DEFINED.format(file=RECORD, means=MEANS_FILE)}",
        markdown(main_table(rows, mean_ceiling(results), best)),
        *(BEST.format(family=family, chosen=chosen_words(row["chosen"])) for family, row in best.items()),
        f"![SPS of every preset]({PURITY_FILE})",
    ]


def _section(target: str, found: Json, results: Json) -> list[str]:
    rows = found["presets"]
    plane = f"{PLANE} {STRENGTHS}" if any(row["frontier"] for row in rows.values()) else PLANE
    return [
        f"## {target}",
        f'Target text: "{found["target_text"]}". {shown_by_original(rows)}',
        markdown(main_table(rows, found["ceiling"])),
        *_figure("plane", target, plane, f"effect against 1 - SPI on {target}"),
        *_grids(target, found, results["reference"]),
        f"[All scores of {target}]({target_file('scores', target)}): {ALL_SCORES}",
    ]


def _grids(target: str, found: Json, reference: str) -> list[str]:
    shown, parts = found["pictures"], list[str]()
    if "grid" in shown:
        absent = shown["grid"]["without"]
        without = f" (without {', '.join(absent)}: no pictures kept)" if absent else ""
        alt = f"{target}: original, {reference} and the purest others"
        parts += _figure("grid", target, GRID.format(reference=reference, without=without), alt)
    if "worst" in shown:
        parts += _figure("worst", target, WORST.format(reference=reference), f"{target}: the worst pairs")
    return parts


def _figure(kind: str, target: str, words: str, alt: str) -> list[str]:
    return [words, f"![{alt}]({target_file(kind, target)})"]


def _signs(results: Json) -> list[str]:
    if not results["sign_tests"]:
        return ["## Sign tests", NO_SIGNS]
    parts = ["## Sign tests", f"{SIGNS} {NO_MEAN} [By target and by prompts]({SIGNS_FILE})."]
    for (full, prompts), tests in grouped(results["sign_tests"]).items():
        if prompts == ALL:
            parts += [f"### {signs_title(full, prompts)}", markdown(directions_table(tests))]
    return parts


def _reproduce(results: Json) -> list[str]:
    made = "; ".join(
        ", ".join(f"{name} {version}" for name, version in each.items()) for each in results["environments"]
    )
    command = f"`spf benchmark {RECORD} --out DIR`, with the file beside this page."
    return ["## Reproduce", f"{command} Base model {results['model_hash']}. Made with {made}."]


def _means(results: Json) -> str:
    """Means over targets with all scores and costs."""
    rows, best = results["mean_over_targets"], results["best_of_families"]
    parts = [
        f"# All scores: means over {targets_words(results)}",
        _back(results),
        LEGEND,
        markdown(overview_table(rows, best)),
        *_strata(rows, mean_ceiling(results)),
    ]
    return _joined(parts)


def _scores(target: str, found: Json, results: Json) -> str:
    """All scores of a target."""
    rows, tests, reference = found["presets"], found["paired_tests"], results["reference"]
    parts = [
        f"# All scores: {target}",
        _back(results),
        LEGEND,
        markdown(score_table(rows)),
        *_strata(rows, found["ceiling"]),
    ]
    if any(len(row["training_seeds"]) > 1 for row in rows.values()):
        parts += ["## Training seeds", _seed_spread(rows)]
    if any(row["scores"] for row in rows.values()):
        notes = "\n".join(f"- {note}" for note in literature_notes(rows))
        parts += ["## Scores of the literature", LITERATURE, markdown(literature_table(rows)), notes]
    if tests:
        parts += ["## Paired tests", TESTS.format(reference=reference), markdown(test_table(tests))]
    figures = list[str]()
    if related(results, rows):
        words = ABLATIONS.format(reference=reference)
        figures += _figure("ablations", target, words, f"{reference} and its variants on {target}")
    if all(row["leakage"] for row in rows.values()):
        figures += _figure("leakage", target, LEAKAGE, f"what shifts besides {target}")
    return _joined([*parts, *(["## Figures", *figures] if figures else [])])


def _all_signs(results: Json) -> str:
    parts = ["# Sign tests", _back(results), SIGNS, ALL_SIGNS]
    for (full, prompts), tests in grouped(results["sign_tests"]).items():
        parts += [f"## {signs_title(full, prompts)}", markdown(sign_table(tests, list(results["targets"])))]
    return _joined(parts)


def _strata(rows: Json, ceiling: Json) -> list[str]:
    head, body = strata_table(rows, ceiling)
    return ["## Explicit and silent prompts", STRATA, markdown((head, body))] if len(head) > 1 else []


def _seed_spread(rows: Json) -> str:
    spread = [f"{name} {_list(row['sps_of_training_seed'])}" for name, row in rows.items()]
    return f"SPS of each training seed: {'; '.join(spread)}."


def _list(scores: Json) -> str:
    values = (score["value"] for score in scores.values())
    return ", ".join("-" if value is None else f"{value:.1f}" for value in values)


def _back(results: Json) -> str:
    return f"Numbers of the **{results['suite_label']}**. [Back to the results]({REPORT_FILE})."


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"
