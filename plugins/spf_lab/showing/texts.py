"""Texts of the pages in this folder."""

SIDE_BY_SIDE = "All pictures of a row start from the same noise. They differ in the model, or in the text."
SIDE_FOOT = "spf compare made this page. The page loads nothing else."
SLIDER = """\
Drag, or use the arrow keys. One side is the base model's image, the other that of the model in the list."""
