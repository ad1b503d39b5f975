"""results.md: a plain function of what results.json holds. Torch-free."""

from spf_core.benchmark.folder import RECORD
from spf_core.benchmark.tables import Json, markdown, score_table, sign_table, test_table

REPORT_FILE, PURITY_FILE = "results.md", "sps.png"
LEGEND = """\
SPS purity (0 to 100), E how much of the target appears, SPI pollution, ΔSPI pollution added to prompting
the original model, REC likeness under the base text alone (0 to 100), hit and base leak the shares of
pictures that show the target when asked and unasked, then the parts of SPI. 95 % intervals in brackets, by a
bootstrap over prompts with all their noise and training seeds: they do not tell how much another training
seed would change. Bold: the best, where its interval excludes the runner-up. Seconds and memory (of the whole
process, or of the CUDA allocator) are of the machine that ran the cell, beside whatever else it did."""
SIGNS = """\
A direction holds where the whole 95 % interval lies on its side, and does not hold where all of it lies on
the other; else it is unclear. These intervals are not adjusted for their number."""
NO_SIGNS = "None: they compare `spf` with its ablations and baselines, under these names."
TESTS = """\
`{reference}` less each other preset, paired by prompt; p by exchanging the two presets' results of whole
prompts, Holm-adjusted over this table:"""
PREFACE = """\
Numbers of the **{suite_label}**; they say nothing about other worlds. The terms of the method are
reconstructions. Each cell: {prompts} unseen prompts x {seeds} noise seeds, split `{split}`. Training seeds:
{training}."""
_GRID = """\
The first prompts of the evaluation, fixed in advance, first noise seed and first training seed:"""


def page(results: Json) -> str:
    """The whole report in Markdown."""
    parts = [f"# Benchmark: {results['suite_label']}", *_preface(results), LEGEND]
    for target, found in results["targets"].items():
        parts += _section(target, found, results["reference"])
    if results["mean_over_targets"]:
        parts += ["## Mean over targets", markdown(score_table(results["mean_over_targets"]))]
    return "\n\n".join([*parts, *_signs(results), *_reproduce(results)]) + "\n"


def grid_file(target: str) -> str:
    """Name of the target's grid of pictures."""
    return f"grid-{target}.png"


def _preface(results: Json) -> list[str]:
    spec, missing = results["benchmark"], results["missing"]
    training = ", ".join(str(seed) for seed in spec["seeds"])
    words = PREFACE.format(suite_label=results["suite_label"], training=training, **spec["evaluation"])
    lack = f"**Incomplete**: {len(missing)} cells are missing: {', '.join(missing)}."
    return [words, *([lack] if missing else []), f"![SPS of every preset]({PURITY_FILE})"]


def _section(target: str, found: Json, reference: str) -> list[str]:
    rows, tests = found["presets"], found["paired_tests"]
    first = next(iter(rows.values()))
    asked, unasked = (first[name]["value"] for name in ("hit_rate_original", "base_leak_original"))
    original = f"The original model shows it in {asked:.0%} when asked and in {unasked:.0%} unasked."
    parts = [
        f"## {target}",
        f'Target text: "{found["target_text"]}". {original}',
        markdown(score_table(rows)),
    ]
    if any(len(row["training_seeds"]) > 1 for row in rows.values()):
        parts.append(_seed_spread(rows))
    if tests:
        parts += [TESTS.format(reference=reference), markdown(test_table(tests))]
    return [*parts, _GRID, f"![{target}: original and every preset]({grid_file(target)})"]


def _seed_spread(rows: Json) -> str:
    spread = [f"{name} {_list(row['sps_of_training_seed'])}" for name, row in rows.items()]
    return f"SPS of each training seed: {'; '.join(spread)}."


def _list(scores: Json) -> str:
    values = (score["value"] for score in scores.values())
    return ", ".join("-" if value is None else f"{value:.1f}" for value in values)


def _signs(results: Json) -> list[str]:
    tests = results["sign_tests"]
    body = [SIGNS, markdown(sign_table(tests, list(results["targets"])))] if tests else [NO_SIGNS]
    return ["## Sign tests", *body]


def _reproduce(results: Json) -> list[str]:
    made = "; ".join(
        ", ".join(f"{name} {version}" for name, version in each.items()) for each in results["environments"]
    )
    command = f"`spf benchmark {RECORD} --out DIR`, with the file beside this page."
    return ["## Reproduce", f"{command} Base model {results['model_hash']}. Made with {made}."]
