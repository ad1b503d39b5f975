"""Shorter wordings of the training texts, so that alignment also holds for prompts that say less."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spf_core.data import Row


def with_variants(rows: Sequence[Row], count: int, dropout: float, seed: int) -> list[Row]:
    """Every row as written, then `count - 1` copies of it with clauses left out; deterministic for a seed."""
    rng = np.random.default_rng(seed)
    return [*rows, *(shortened(row, dropout, rng) for _ in range(count - 1) for row in rows)]


def shortened(row: Row, dropout: float, rng: np.random.Generator) -> Row:
    """Leave out each clause of the base text but the first with probability `dropout`; commas end clauses.

    The clause that the target changes stays.
    """
    first, *others = row.base_text.split(",")
    kept = [
        clause for clause in others if rng.random() >= dropout or (row.replaces and row.replaces in clause)
    ]
    text = ",".join([first, *kept])
    return replace(row, base_text=text, base_phrases=tuple(p for p in row.base_phrases if p in text))
