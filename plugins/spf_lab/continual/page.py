"""results.md: a plain function of what results.json holds. Torch-free."""

from collections.abc import Mapping
from typing import Any

from spf_lab.benchmark.tables import (
    HIGHER,
    LOWER,
    Cells,
    interval,
    markdown,
    mean_ceiling,
    strata_table,
    winner,
)
from spf_lab.benchmark.texts import STRATA

Json = Mapping[str, Any]
REPORT_FILE, STAGES_FILE = "results.md", "stages.png"
SUMMARY = {
    "average_effect": ("average effect", HIGHER),
    "forgetting": ("forgetting", LOWER),
    "backward_transfer": ("backward transfer", HIGHER),
    "rec_growth": ("growth of 1 - REC/100", LOWER),
    "spi_growth": ("growth of SPI, first target", LOWER),
    "final_spi": ("final SPI", LOWER),
    "final_hit": ("final hit", HIGHER),
    "final_rec": ("final REC", HIGHER),
    "final_base_leak": ("final base leak", LOWER),
}
GROWTH = ("rec_growth", "spi_growth")
PREFACE = """\
The numbers come from the **{suite_label}** and say nothing about other data. Each sequence trains several
targets, one after another. Each stage starts from the weights of the stage before; the reference path stays
the base model. After each stage, an evaluation uses {prompts} unseen prompts x {seeds} noise seeds of split
`{split}` for {targets} targets. The training seed is {seed}. The orders:"""
LEGEND = """\
E[k, i] is the effect of target i after stage k of K. Average effect: mean of E[K, i]. Forgetting: mean over
i < K of the highest earlier E[k, i], less E[K, i]. Backward transfer: mean over i < K of E[K, i] - E[i, i].
Growth: least-squares slope per stage. Final SPI, hit and base leak are means over all targets after the last
stage. All values are means over orders. Brackets hold 95 % intervals, from a bootstrap over prompts that is
shared by all stages, targets and orders. They do not show how much other orders or training seeds would
change. ± is the standard deviation over orders. Bold marks the best value, if its interval excludes the
runner-up."""
VERDICTS = """\
A slope grows if its whole interval lies above 0. A slope that does not grow significantly may still not be
flat: its interval shows how much growth fits the prompts."""
DIFFERENCES = "`{reference}` less each other preset, on the same prompts and orders:"


def page(results: Json) -> str:
    """The whole report in Markdown."""
    presets, missing = results["presets"], results["missing"]
    spec = results["continual"]
    parts = [
        f"# Continual customisation: {results['suite_label']}",
        PREFACE.format(suite_label=results["suite_label"], seed=spec["seed"], **spec["evaluation"]),
    ]
    if missing:
        parts.append(f"**Incomplete**: {len(missing)} sequences are missing: {', '.join(missing)}.")
    parts += [
        "\n".join(f"- {name}: {', '.join(order)}" for name, order in results["orders"].items()),
        markdown(summary_table(presets)),
        LEGEND,
        *_strata(results),
        "## Does pollution grow?",
        markdown(growth_table(presets)),
        VERDICTS,
        f"![REC and SPI of the first target after each stage]({STAGES_FILE})",
        *_joint(presets),
    ]
    for name in presets:
        parts += [f"## {name}", f"![{name}: E and SPI over stages and targets]({matrix_file(name)})"]
    if results["comparisons"]:
        words = DIFFERENCES.format(reference=results["reference"])
        parts += ["## Presets compared", words, markdown(difference_table(results["comparisons"]))]
    return "\n\n".join([*parts, *_reproduce(results)]) + "\n"


def matrix_file(preset: str) -> str:
    """Name of the preset's figure of matrices."""
    return f"matrices-{preset}.png"


def summary_table(presets: Mapping[str, Json]) -> Cells:
    """Presets down, summaries across."""
    columns = []
    for measure, (_, mark) in SUMMARY.items():
        values = [preset["summary"][measure] for preset in presets.values()]
        best = winner(values, mark)
        shown = [_summary(value, measure) for value in values]
        columns.append([f"**{text}**" if place == best else text for place, text in enumerate(shown)])
    head = ["preset", *(f"{title} {mark}" for title, mark in SUMMARY.values())]
    return head, [[name, *(column[row] for column in columns)] for row, name in enumerate(presets)]


def growth_table(presets: Mapping[str, Json]) -> Cells:
    """The slopes of pollution with their verdicts, and REC after the first and the last stage."""
    rows = []
    for name, preset in presets.items():
        slopes = [preset["summary"][measure] for measure in GROWTH]
        rec = preset["stages"]["rec"]
        ends = f"{interval(rec[0], percent=True)} to {interval(rec[-1], percent=True)}"
        shown_slopes = [f"{each['verdict']}: {small_interval(each)}" for each in slopes]
        rows.append([name, *shown_slopes, ends])
    return ["preset", *(SUMMARY[measure][0] for measure in GROWTH), "REC, first to last stage"], rows


def difference_table(comparisons: list[Json]) -> Cells:
    """Differences between presets in every summary."""
    rows = []
    for each in comparisons:
        measure, shown = each["measure"], each["difference"]
        text = small_interval(shown) if measure in GROWTH else interval(shown, percent=_percent(measure))
        rows.append([each["against"], SUMMARY[measure][0], text])
    return ["against", "measure", "difference"], rows


def small_interval(value: Json) -> str:
    """`0.012 [0.010, 0.014]`: slopes per stage are small; a dash for what does not apply."""
    if value["value"] is None:
        return "-"
    low, high = value["ci"]
    return f"{value['value']:.3f} [{low:.3f}, {high:.3f}]"


def _summary(value: Json, measure: str) -> str:
    text = small_interval(value) if measure in GROWTH else interval(value, percent=_percent(measure))
    spread = value["order_sd"]["value"]
    digits = 3 if measure in GROWTH else 1 if _percent(measure) else 2
    return text if spread is None else f"{text} ± {spread:.{digits}f}"


def _percent(measure: str) -> bool:
    return measure == "final_rec"


def _strata(results: Json) -> list[str]:
    head, body = strata_table(results["presets"], mean_ceiling(results))
    words = f"Means over all targets after the last stage. {STRATA}"
    return ["## Explicit and silent prompts", words, markdown((head, body))] if len(head) > 1 else []


def _joint(presets: Mapping[str, Json]) -> list[str]:
    found = {name: preset["joint_hit_rate"] for name, preset in presets.items()}
    reasons = {rate["not_applicable"] for rate in found.values() if "not_applicable" in rate}
    head = "## Two targets at once"
    if reasons:
        return [head, f"Not applicable here: {'; '.join(sorted(reasons))}."]
    rows = [[name, interval(rate), interval(rate["original"])] for name, rate in found.items()]
    pairs = next(iter(found.values()))["pairs"]
    words = (
        f"Images that show both targets that the prompt asks for, after the last stage: {', '.join(pairs)}."
    )
    return [head, words, markdown((["preset", "joint hit rate ↑", "base model"], rows))]


def _reproduce(results: Json) -> list[str]:
    made = "; ".join(
        ", ".join(f"{name} {version}" for name, version in each.items()) for each in results["environments"]
    )
    command = "`spf continual continual.yaml --out DIR`, with the file beside this page."
    return ["## Reproduce", f"{command} Base model {results['model_hash']}. Made with {made}."]
