"""Pairwise user studies: an offline page for raters, and the analysis of their votes. Torch-free."""
