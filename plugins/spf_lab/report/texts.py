"""Texts of the report page."""

FOOT = """\
spf report made this page from files on disk. The page loads nothing else. The terms of the method are
reconstructions of SPF-Portrait (arXiv 2504.00396)."""

QUADRUPLE = """\
All images of a row start from the same noise. **A**: base model, base text. **B**: base model, complete
text. **C**: tuned model, complete text. **D**: tuned model, base text. All differences between A and C
besides the target are pollution. SPI 0 means none; SPI 1 means as much as another seed changes."""
BEFORE_AFTER = """\
Drag, or use the arrow keys. One side is the base model's image, the other the tuned model's image from the
same noise."""
WORST = "The pairs with the highest SPI of this evaluation."
MAP_SCALE = "change |A - C|, mean over colours; white line: border of the target's region"
NO_PICTURES = "This evaluation kept no images. Evaluate the run again to keep them."
NO_EVALUATION = """\
**Never evaluated.** Nobody has measured yet what this run learned and what else it changed. To measure it:
`spf evaluate {run} --out {run}/evaluation`"""
GRIDS = "All images of a column have the same noise. The training drew them; they are no measurement."
NO_GRIDS = "The training drew no samples. `sample.every` sets how often it does."

LEAKAGE = """\
The change in how often each attribute value appears, from A to C. For a model without pollution, all fields
are pale."""
FRONTIER = """\
The adapter at several strengths, with lines of equal SPS. Points further up and to the right are better.
Strength 0 is the base model with the complete text."""
FRONTIER_SUM = """\
SPI at which E reaches {effects}. The area under the frontier, from 0 to 1, is the share of the square below
and left of its points: {area}."""

ATTENTION = """\
The attention to “{token}” at each position, while the base model and the tuned model sample the same noise
(seed {seed}). Each map is a mean over all cross-attention layers, heads and tokens. All attention maps share
one scale. t runs from noise (1) to image (0)."""
UNREAD = "Until the handover, the base model samples the base text. It does not read the word yet."
CONTROL = """\
The control map `{name}` is 1 where the target may respond, and 0 where alignment holds the tuned model to
the base model."""

BENCHMARK = """\
All presets have the same unseen prompts and noise. The numbers come from the {label} and say nothing about
other data."""
DEMO = """\
Two models trained on the same {rows} images, which all share {bias}: one by full fine-tuning, the other by
preset `spf`. A model that learns only the attribute leaves all else as it is."""
TARGET = """\
Target text: “{target_text}”. {prompts} unseen prompts x {seeds} noise seeds. {original}"""
PLANE = """\
The effect of each preset, and 1 - SPI, with lines of equal SPS and 95 % intervals. Points further up and to
the right are better. A line joins several strengths of one adapter, that of the first training seed."""
BARS = """\
The difference of `{reference}` and each other preset on the same prompts. A bar is pale where its interval
contains 0. For an ablation, the difference shows what the removed part contributes."""
DRIFT = """\
How far the values of each attribute moved from the base model to the tuned model, in percentage points. Only
attributes that the target may not change count (first training seed)."""
GRID = (
    "The first prompts of the evaluation, which are fixed in advance; first noise seed and "
    "first training seed."
)
NO_CELL = "this folder does not contain the run of `{reference}`."
ARM_ROWS = """\
The first prompts of the evaluation, which are fixed in advance; first noise seed and first training seed.
Below each image is its change from the base model's image, on one scale for each row. The white line is the
border of the target's region."""

SCORED = """\
Files of weights, each measured against the same base model on the same prompts and noise. A file that adds
its target and nothing else leaves all else as it is."""
FAILED = "**Not scored**: {files}."
NO_LOOK = "spf score draws no attention maps. For a run, `spf attention RUN` does."
