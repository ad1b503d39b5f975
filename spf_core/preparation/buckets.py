"""Rows whose pictures have several shapes: each bucket is encoded and prepared alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from spf_core.interfaces.training import SampledStates, States
from spf_core.interfaces.types import Batch
from spf_core.preparation.encoding import CachedRows
from spf_core.utils.prompts import Prompt

T = TypeVar("T")


@dataclass(frozen=True)
class BucketedRows:
    """Encoded rows in buckets; `members[b]` are the numbers, in the training data, of the rows in `parts[b]`.

    A batch holds rows of one bucket.
    """

    parts: tuple[CachedRows, ...]
    members: tuple[tuple[int, ...], ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all rows, in the order of the training data."""
        return tuple(self._in_order([part.ids for part in self.parts]))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Of all rows, in the order of the training data."""
        return tuple(self._in_order([part.prompts for part in self.parts]))

    @property
    def buckets(self) -> list[list[int]]:
        """Row numbers of each bucket, each as often as an epoch reads it."""
        return [
            [members[row] for row in part.buckets[0]]
            for part, members in zip(self.parts, self.members, strict=True)
        ]

    def first(self, count: int) -> list[int]:
        """Up to `count` rows that fit in one batch, of the largest bucket."""
        return list(max(self.members, key=len)[:count])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Gather some rows of one bucket."""
        number, places = find(self.members, rows)
        batch = self.parts[number].batch(places)
        return replace(batch, rows=torch.as_tensor(list(rows), device=batch.rows.device))

    def each(self, change: Callable[[CachedRows], CachedRows]) -> "BucketedRows":
        """The rows with every bucket changed."""
        return replace(self, parts=tuple(map(change, self.parts)))

    def _in_order(self, values: Sequence[Sequence[T]]) -> list[T]:
        found = {
            number: value
            for members, part in zip(self.members, values, strict=True)
            for number, value in zip(members, part, strict=True)
        }
        return [found[number] for number in sorted(found)]


@dataclass(frozen=True)
class BucketedStates:
    """States of the original model's own sampling, for each bucket its own; satisfies `States`."""

    parts: tuple[States, ...]
    members: tuple[tuple[int, ...], ...]

    def draw(self, rows: Tensor, *, generator: torch.Generator) -> SampledStates:
        """One state per row; the rows are of one bucket."""
        number, places = find(self.members, rows.tolist())
        return self.parts[number].draw(torch.as_tensor(places, device=rows.device), generator=generator)


def find(members: Sequence[Sequence[int]], rows: Sequence[int]) -> tuple[int, list[int]]:
    """The bucket of the rows, and their places in it."""
    (number,) = {number for number, each in enumerate(members) if set(each) & set(rows)}
    place = {row: place for place, row in enumerate(members[number])}
    return number, [place[row] for row in rows]
