"""results.md: a plain function of what results.json holds. Torch-free."""

from spf_lab.benchmark.folder import RECORD
from spf_lab.benchmark.literature_table import literature_notes, literature_table
from spf_lab.benchmark.styles import related
from spf_lab.benchmark.tables import (
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
    BEST,
    GRID,
    LEAKAGE,
    LEGEND,
    LITERATURE,
    NO_SIGNS,
    ORIGINAL,
    OVERVIEW,
    PLANE,
    PREFACE,
    PUREST,
    PURITY,
    SIGNS,
    STRATA,
    TESTS,
    WORST,
    chosen_words,
    missing_words,
    signs_title,
    targets_words,
)

REPORT_FILE, PURITY_FILE = "results.md", "sps.png"
_SUFFIXES = {"grid": "webp", "purest": "webp", "worst": "webp"}


def page(results: Json) -> str:
    """The whole report in Markdown."""
    parts = [f"# Benchmark: {results['suite_label']}", *_preface(results), *_overview(results), LEGEND]
    for target, found in results["targets"].items():
        parts += _section(target, found, results)
    return "\n\n".join([*parts, *_signs(results), *_reproduce(results)]) + "\n"


def figure_file(kind: str, target: str) -> str:
    """Name of a target's figure: its plane, leakage, ablations, grid or worst."""
    return f"{kind}-{target}.{_SUFFIXES.get(kind, 'png')}"


def _preface(results: Json) -> list[str]:
    spec, missing = results["benchmark"], results["missing"]
    training = ", ".join(str(seed) for seed in spec["seeds"])
    words = PREFACE.format(suite_label=results["suite_label"], training=training, **spec["evaluation"])
    words += PURITY.format(**results["purity"]) if "purity" in results else ""
    return [words, *([missing_words(missing)] if missing else [])]


def _overview(results: Json) -> list[str]:
    best = results["best_of_families"]
    return [
        "## Overview",
        OVERVIEW.format(targets=targets_words(results)),
        markdown(overview_table(results["mean_over_targets"], best)),
        *_strata(results["mean_over_targets"], mean_ceiling(results)),
        *(BEST.format(family=family, chosen=chosen_words(row["chosen"])) for family, row in best.items()),
        f"![SPS of every preset]({PURITY_FILE})",
    ]


def _section(target: str, found: Json, results: Json) -> list[str]:
    rows, tests, reference = found["presets"], found["paired_tests"], results["reference"]
    original = ORIGINAL.format(**shown_by_original(rows))
    parts = [
        f"## {target}",
        f'Target text: "{found["target_text"]}". {original}',
        markdown(score_table(rows)),
        *_strata(rows, found["ceiling"]),
    ]
    if any(len(row["training_seeds"]) > 1 for row in rows.values()):
        parts.append(_seed_spread(rows))
    parts += _figure("plane", target, PLANE, f"effect against 1 - SPI on {target}")
    if any(row["scores"] for row in rows.values()):
        notes = "\n".join(f"- {note}" for note in literature_notes(rows))
        parts += [LITERATURE, markdown(literature_table(rows)), notes]
    if tests:
        parts += [TESTS.format(reference=reference), markdown(test_table(tests))]
    if related(results, rows):
        words = ABLATIONS.format(reference=reference)
        parts += _figure("ablations", target, words, f"{reference} and its variants on {target}")
    if all(row["leakage"] for row in rows.values()):
        parts += _figure("leakage", target, LEAKAGE, f"what shifts besides {target}")
    return [*parts, *_grids(target, found, reference)]


def _strata(rows: Json, ceiling: Json) -> list[str]:
    head, body = strata_table(rows, ceiling)
    return [STRATA, markdown((head, body))] if len(head) > 1 else []


def _grids(target: str, found: Json, reference: str) -> list[str]:
    shown, parts = found["pictures"], list[str]()
    if "purest" in shown:
        words = PUREST.format(reference=reference)
        parts += _figure("purest", target, words, f"{target}: original, {reference} and the purest others")
    if "grid" in shown:
        absent = [name for name in found["presets"] if name not in shown["grid"]["training_seeds"]]
        without = f" (without {', '.join(absent)}: no pictures kept)" if absent else ""
        alt = f"{target}: original and every preset"
        parts += _figure("grid", target, GRID.format(without=without), alt)
    if "worst" in shown:
        parts += _figure("worst", target, WORST.format(reference=reference), f"{target}: the worst pairs")
    return parts


def _figure(kind: str, target: str, words: str, alt: str) -> list[str]:
    return [words, f"![{alt}]({figure_file(kind, target)})"]


def _seed_spread(rows: Json) -> str:
    spread = [f"{name} {_list(row['sps_of_training_seed'])}" for name, row in rows.items()]
    return f"SPS of each training seed: {'; '.join(spread)}."


def _list(scores: Json) -> str:
    values = (score["value"] for score in scores.values())
    return ", ".join("-" if value is None else f"{value:.1f}" for value in values)


def _signs(results: Json) -> list[str]:
    tests = results["sign_tests"]
    if not tests:
        return ["## Sign tests", NO_SIGNS]
    parts = ["## Sign tests", SIGNS]
    for (full, prompts), several in grouped(tests).items():
        title = signs_title(full, prompts)
        parts += [f"### {title}", markdown(sign_table(several, list(results["targets"])))]
    return parts


def _reproduce(results: Json) -> list[str]:
    made = "; ".join(
        ", ".join(f"{name} {version}" for name, version in each.items()) for each in results["environments"]
    )
    command = f"`spf benchmark {RECORD} --out DIR`, with the file beside this page."
    return ["## Reproduce", f"{command} Base model {results['model_hash']}. Made with {made}."]
