"""Texts of the pages in this folder."""

SIDE_BY_SIDE = "All pictures of a row start from the same noise. They differ in the model, or in the text."
SIDE_FOOT = "spf compare made this page. The page loads nothing else."
SLIDER = """\
Drag, or use the arrow keys. One side is the base model's image, the other that of the model in the list."""
LIVE_FOOT = "spf train writes this page again and again while it trains. It reads the pictures beside it."
GRIDS = "All images of a column have the same noise. The step is the number of optimizer steps before."
NO_GRIDS = "There are no samples yet. `sample.every` sets after how many steps spf draws them."
PURITY = "Scores on unseen prompts of the development split, measured during the training."
STALE = """\
This page has not changed for a long time. The training may have ended early: look into its terminal, or
continue it with spf train --resume."""
FINISHED = """\
The weights are written. To see images: `spf sample {run} --prompt "..." --compare --out grid.png`. To
measure them: `spf evaluate {run} --out {run}/evaluation`"""
