"""An evaluation's folder read back for the page: scores, rows of pairs, and the pictures that were kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from spf_core.errors import RunError
from spf_lab.evaluation.pictures import Pictures, first_pairs, read_pictures, worst_pairs
from spf_lab.evaluation.saved import read_evaluation

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """One evaluated model under the name that the page gives it."""

    name: str
    results: Json
    rows: Sequence[Json]
    pictures: Callable[[int], Pictures]  # what is kept of a pair

    @cached_property
    def first(self) -> list[int]:
        """The first pairs, fixed before anything was drawn."""
        return self._kept(first_pairs(self.results["n_prompts"], self.results["n_seeds"]))

    @cached_property
    def worst(self) -> list[int]:
        """The pairs with the highest SPI."""
        return self._kept(worst_pairs([row["spi"] for row in self.rows]))

    def _kept(self, pairs: list[int]) -> list[int]:
        return [pair for pair in pairs if {"original", "tuned"} <= set(self.pictures(pair).roles)]


def read_arm(name: str, folder: Path) -> Arm:
    """Read what `spf evaluate` wrote; RunError when it is damaged or no evaluation."""
    try:
        results, rows = read_evaluation(folder)
    except (OSError, ValueError) as error:
        raise RunError(
            f"'{folder}' holds no full evaluation ({error}); make one with spf evaluate RUN --out {folder}"
        ) from None
    return Arm(name, results, rows, partial(read_pictures, folder))
