"""What the page says around its pictures."""

FOOT = """\
Made by spf report from files on disk; nothing is loaded from elsewhere. The terms of the method are
reconstructions of SPF-Portrait (arXiv 2504.00396)."""

QUADRUPLE = """\
All pictures of a row start from the same noise. **A** original model, base text. **B** original model,
asked for the target. **C** tuned model, asked for the target. **D** tuned model, not asked. Whatever
differs between A and C besides the target is pollution; SPI 0 is none, 1 as much as another seed would
change."""
BEFORE_AFTER = """\
Drag, or use the arrow keys: the original model's picture, and what the tuned one makes of it from the
same noise."""
WORST = "The pairs with the highest SPI of this evaluation."
MAP_SCALE = "change |A - C|, mean over colours; white line: the border of the target's region"
NO_PICTURES = "This evaluation kept no pictures; evaluate the run again to have them."
NO_EVALUATION = (
    "There is no evaluation of this run yet. Make one: `spf evaluate {run} --out {run}/evaluation`"
)

LEAKAGE = """\
How much more or less often each attribute value is seen in C than in A. A pure model leaves all of it
pale."""
FRONTIER = """\
The adapter at several strengths, with lines of equal SPS; up and to the right is better. At strength 0 it
is the original model, asked for the target."""
FRONTIER_SUM = """\
SPI where E rises to {effects}. Area under the frontier (0 to 1, the share of the plane below and left of
its points): {area}."""

ATTENTION = """\
How much of its attention each place gives to “{token}” while the original and the tuned model sample the
same noise (seed {seed}): the mean over all cross-attention layers, heads and tokens. All attention maps
share one scale. t runs from noise (1) to picture (0)."""
UNREAD = "Until the handover the original model draws the base text, so the word is not read yet."
CONTROL = """\
The control map `{name}` says where the target may respond (1), and where the tuned model is held to the
original (0)."""

BENCHMARK = """\
Presets on the same unseen prompts and noise. Numbers of the {label}; they say nothing about other worlds."""
DEMO = """\
The same {rows} training pictures, which all share {bias}, taught to one model by plain fine-tuning and to
another by preset `spf`. A model that learns the attribute alone leaves all else as it was."""
TARGET = """\
Target text: “{target_text}”. {prompts} unseen prompts x {seeds} noise seeds. {original}"""
PLANE = """\
Each preset's effect against what it kept, with lines of equal SPS and 95 % intervals; up and to the right
is better. Points on a line are strengths of one adapter, that of the first training seed."""
BARS = """\
What `{reference}` gains over each other preset on the same prompts; pale where the interval holds 0.
Against an ablation it is what the part that was left out contributes."""
DRIFT = """\
Percentage points by which the mix of each attribute's values moved from the original to the tuned model,
on attributes that should stay (first training seed)."""
GRID = "The first prompts of the evaluation, fixed in advance, first noise seed and first training seed."
NO_CELL = "the run of `{reference}` is not in this folder."
ARM_ROWS = """\
The first prompts of the evaluation, fixed in advance, first noise seed and first training seed. Below
each picture is its change from the original, on one scale a row; white line: the border of the target's
region."""
