"""Words of results.md and of the page that `spf report` makes of a benchmark. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 8  # missing cells that are named
LEGEND = """\
SPS purity (0 to 100), E how much of the target appears, SPI pollution, ΔSPI pollution added to prompting
the original model, REC likeness under the base text alone (0 to 100), hit and base leak the shares of
pictures that show the target when asked and unasked, then the parts of SPI. 95 % intervals in brackets, by a
bootstrap over prompts with all their noise and training seeds: they do not tell how much another training
seed would change. Bold: the best, where its interval excludes the runner-up. Handover is the fraction of the
noise schedule down to which the original draws (1: not at all). Seconds and memory (of the whole process, or
of the CUDA allocator) are of the machine that ran the cell, beside whatever else it did: compare them within
one kind of device."""
STRATA = """\
Explicit prompts name every attribute, silent ones leave some open. Under an explicit prompt another seed
draws nearly the same picture, so that the same small change counts for more. Compare within a column, and
with the perfect edit: the true picture with the target, as the judges see it. In scores of all prompts
together the silent ones decide SPI."""
SIGNS = """\
The directions are those that the paper reports when it leaves a part of the method out. `spf-paper` is the
method as drawn, whose terms act through the whole second stage; in preset `spf` they act in the last fifth
alone, at a low learning rate. A direction holds where the whole 95 % interval lies on its side, and does not
hold where all of it lies on the other; else it is unclear. Intervals are not adjusted for their number."""
NO_SIGNS = "None: they compare `spf` with its ablations and baselines, under these names."
TESTS = """\
`{reference}` less each other preset, paired by prompt; p by exchanging the two presets' results of whole
prompts, Holm-adjusted over this table:"""
PREFACE = """\
Numbers of the **{suite_label}**; they say nothing about other worlds. The terms of the method are
reconstructions. Each cell: {prompts} unseen prompts x {seeds} noise seeds, split `{split}`. Training seeds:
{training}."""
PURITY = " SPI and SPS are those of the metrics `{label}`."
OVERVIEW = """\
Means over {targets}, of presets that were run on each; s/run is the mean time of a training run, memory the
highest."""
BEST = """\
† Best of family `{family}`: {chosen}, by SPS on these same prompts. Chosen after the fact, it looks better
than a rank or setting that was fixed beforehand."""
ORIGINAL = """\
The original model shows it in {asked:.0%} when asked, which is worth SPS {sps:.0f} without any training, and
in {unasked:.0%} unasked."""
LITERATURE = """\
Scores of the literature, which do not enter the purity score. A score that says `suite` or `backbone` is a
formula over other networks than the published ones, and comparable within this page only."""
GRID = """\
The first prompts of the evaluation, fixed in advance, first noise seed and first training seed{without}:"""
PUREST = """\
The same pictures as in the grid below, of `{reference}` and the presets of other families with the highest
SPS:"""
WORST = """\
The pairs with the highest SPI under `{reference}`, first training seed: the original without and with the
target asked, `{reference}`, and the purest preset of another family. Grey: not kept."""
PLANE = """\
Effect against what was kept, 95 % intervals; grey lines join equal SPS. A line through small dots shows other
strengths of the adapter."""
LEAKAGE = """\
How far attributes shift: the mean |shift| of an attribute's values over the mean standard deviation that
re-seeding gives them. A shift of all pictures the same way counts, one back and forth does not."""
ABLATIONS = "`{reference}` and its variants; the dotted line is `{reference}`."


def signs_title(full: str, prompts: str) -> str:
    """What a table of directions is about: a preset, and some or all prompts."""
    return f"`{full}`, {'all prompts' if prompts == 'all' else f'{prompts} prompts'}"


def targets_words(results: Mapping[str, Any]) -> str:
    """`3 targets`, or `the target hat`."""
    targets = list(results["targets"])
    return f"{len(targets)} targets" if len(targets) > 1 else f"the target {targets[0]}"


def chosen_words(chosen: Mapping[str, str]) -> str:
    """Which preset of a family is the best, by target."""
    names = set(chosen.values())
    if len(names) == 1 and len(chosen) > 1:
        return f"`{names.pop()}` on every target"
    return ", ".join(f"`{name}` on {target}" for target, name in chosen.items())


def missing_words(missing: Sequence[str]) -> str:
    """How many cells are missing, and the first of them by name."""
    more = " and more, all of them in `results.json`" if len(missing) > NAMED else ""
    return f"**Incomplete**: {len(missing)} cells are missing: {', '.join(missing[:NAMED])}{more}."
