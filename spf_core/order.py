"""Randomness as a function of the step: a resumed run draws what the uninterrupted one would have."""

import numpy as np
import torch


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
