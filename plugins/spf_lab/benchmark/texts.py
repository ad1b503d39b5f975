"""Words of a benchmark's pages and of the page that `spf report` makes of it. Torch-free."""

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 8  # missing cells that are named
LEGEND = """\
**SPS**: the purity score, from 0 to 100. **E**: the effect, how much of the target appears. **SPI**: the
pollution, from 0 to 1; its parts stand in columns of their own. **ΔSPI**: SPI less that of the base
model, prompted for the target. **REC**: likeness to the base model where the prompt lacks the target,
from 0 to 100. **Hit** and **base leak**: the shares of images that show the target, with the target in
the prompt and without it. 95 % intervals stand in brackets; a bootstrap over prompts, with all their
noise and training seeds, gives them. They do not say how much another training seed would change.
**Bold**: the best value, where its interval excludes the runner-up. **Handover**: the fraction of the
noise schedule down to which the base model samples (1: it does not). Seconds and memory (of the whole
process, or of the CUDA allocator) depend on the machine and on what else it did. Compare them within one
kind of device."""
STRATA = """\
Explicit prompts name every attribute, silent prompts leave some open. Another noise seed changes little
under an explicit prompt, so the same small change counts for more there. Compare within a column, and
with the perfect edit: the true image with the target, as the judges see it. The silent prompts dominate
SPI over all prompts."""
SIGNS = """\
The paper reports what happens when a part of the method is left out. These tests look for the same
directions here. `spf-paper` is the method as the paper describes it: its terms act through the whole
second stage. In preset `spf` they act in the last fifth alone, at a low learning rate. A direction holds
where the whole 95 % interval lies on its side. It does not hold where all of the interval lies on the
other side. Otherwise it is unclear. Intervals are not adjusted for their number."""
ALL_SIGNS = """\
A dash stands where a target lacks a preset that the test compares. "Not applicable" means that a target
lacks the part of SPI in question."""
NO_MEAN = "A dash stands where a target lacks the part of SPI in question."
NO_SIGNS = "None: they compare `spf` with its ablations and baselines, under these names."
TESTS = """\
`{reference}` less each other preset, paired by prompt. The p values come from exchanging the two presets'
results of whole prompts; Holm's method adjusts them over this table:"""
PREFACE = """\
These are numbers of the **{suite_label}**; they say nothing about other worlds. The terms of the method
are reconstructions. Each row of a table is a preset, which trained one model for each target and training
seed. Every model was then scored on the same {prompts} unseen prompts with {seeds} noise seeds each
(split `{split}`). The training seeds are {training}; some presets have fewer."""
PURITY = " SPI and SPS are those of the metrics `{label}`."
READING = """\
- **SPS** is the purity score, from 0 to 100. It is high where the target appears and nothing else
  changes.
- **Hit rate** is how often the target appears when the prompt asks for it. **Leak rate** is how often it
  appears when the prompt does not.
- **SPI** is the pollution: how much else changes when the prompt asks for the target. It is 0 where
  nothing else changes, and 1 where as much changes as under another noise seed.
- **REC** says how close the model stays to the base model when the prompt does not ask for the
  target, from 0 to 100.
- *Explicit* prompts name every attribute, *silent* prompts leave some open. Another noise seed changes
  little under an explicit prompt, so the same small change counts for more there.
- *In any client* says whether the exported file alone gives these scores. "No" stands where the base
  model has to open every image (the handover), which a client must be told to do.
- A *perfect edit* is the true image with the target, as the judges score it. No preset can be expected
  to score better.
- Brackets hold 95 % intervals, from a bootstrap over prompts. They do not say how much another training
  seed would change. **Bold** marks the best value, where its interval excludes the runner-up."""
OVERVIEW = "Means over {targets}, for the presets that were run on each."
DEFINED = "[{file}]({file}) defines each preset. [All scores and costs]({means})."
BEST = """\
† The best of family `{family}`: {chosen}, by SPS on these same prompts. This choice came after the fact,
which flatters it beside a rank or setting that was fixed beforehand."""
ORIGINAL = """\
Without any training, the base model shows it in {asked:.0%} of the images when the prompt asks for
it (SPS {sps:.0f}), and in {unasked:.0%} when the prompt does not."""
NOT_RECOGNISED = "No judge recognises the target here, so there are no hit rate, leak rate, E and SPS."
ALL_SCORES = """\
effect, parts of SPI, both kinds of prompts, training seeds, costs, scores of the literature, paired
tests, and which attributes shift."""
LITERATURE = """\
Scores of the literature, which do not enter the purity score. A score whose name says `suite` or
`backbone` uses the published formula with other networks, so compare it within this page only."""
GRID = """\
The first prompts of the evaluation with their first noise seed, fixed in advance; first training seed.
The rows are the base model, `{reference}`, and the presets of other families with the highest
SPS{without}:"""
WORST = """\
The pairs with the highest SPI under `{reference}`, first training seed. The rows are the base model
without and with the target in the prompt, `{reference}`, and the preset of another family with the
highest SPS that keeps at least half of these images. Grey: not kept."""
PLANE = """\
Effect against what stays as it was, with 95 % intervals. The effect E says how much likelier the target
becomes, and lies close to the hit rate. SPS is the harmonic mean of E and 1 - SPI; grey lines join equal
SPS."""
STRENGTHS = "Small dots on a line are other strengths of the adapter."
LEAKAGE = """\
How far attributes shift: the mean |shift| of an attribute's values over the mean standard deviation of
their shift under another noise seed. A shift of all images in one direction counts, a shift back and
forth does not."""
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
