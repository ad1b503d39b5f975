"""Randomness as a function of the step: a resumed run draws what the uninterrupted one would have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Order:
    """Which rows each forward pass reads. `buckets` list row numbers, each as often as an epoch reads it.

    A batch holds rows of one bucket. In each round every bucket gives as many batches as it lists rows, in an
    order drawn from (seed, round), so all rows are read equally often; each bucket goes on through its own
    epochs. With one bucket that is `rows_of_step`.
    """

    buckets: Sequence[Sequence[int]]
    batch_size: int
    seed: int

    def rows(self, step: int) -> list[int]:
        """Row numbers of forward pass `step`."""
        counts = [len(bucket) for bucket in self.buckets]
        round_, turn = divmod(step, sum(counts))
        turns = np.repeat(np.arange(len(counts)), counts)
        if len(counts) > 1:
            turns = np.random.default_rng((self.seed, round_, 1)).permutation(turns)
        chosen = int(turns[turn])
        before = round_ * counts[chosen] + int((turns[:turn] == chosen).sum())
        places = rows_of_step(before, self.batch_size, counts[chosen], self.seed)
        return [self.buckets[chosen][place] for place in places]


def rows_of_step(step: int, batch_size: int, row_count: int, seed: int) -> list[int]:
    """Row numbers of one forward pass: epochs are permutations drawn from (seed, epoch)."""
    rows = []
    for position in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(position, row_count)
        rows.append(int(np.random.default_rng((seed, epoch)).permutation(row_count)[place]))
    return rows


def generator_of_step(step: int, seed: int) -> torch.Generator:
    """The CPU generator of one forward pass."""
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed)
