"""Other wordings of the training texts, so that training also covers prompts that say other things."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spf_core.data import Row
from spf_core.utils.prompts import Prompt

KEPT = 0.6  # probability that a recombined text keeps a clause of the other text


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


def recombined(prompts: Sequence[Prompt], count: int, rng: np.random.Generator) -> list[Prompt]:
    """`count` texts with the first clause and the target of one text and some further clauses of another.

    A text in which the target replaces words stays as it is: its clauses belong together.
    """
    pairs = (rng.choice(len(prompts), 2) for _ in range(count))
    return [_recombined(prompts[one], prompts[other], rng) for one, other in pairs]


def _recombined(one: Prompt, other: Prompt, rng: np.random.Generator) -> Prompt:
    if one.replaces:
        return one
    (first, *_), (_, *others) = one.base_text.split(","), other.base_text.split(",")
    return Prompt(",".join([first, *(clause for clause in others if rng.random() < KEPT)]), one.target_text)
