"""An evaluation's folder read back for the page: scores, rows of pairs, and the pictures that were kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from spf_core.errors import RunError, short
from spf_core.evaluation.pictures import Pictures, first_pairs, read_pictures, worst_pairs
from spf_core.evaluation.results import PAIRS_FILE, RESULTS_FILE

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
        results = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        lines = (folder / PAIRS_FILE).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        if len(rows) != results["n_prompts"] * results["n_seeds"]:
            raise ValueError(f"{len(rows)} rows in {PAIRS_FILE}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {short(' '.join(str(error).split()))}"
        raise RunError(
            f"'{folder}' holds no whole evaluation ({reason}); make one with spf evaluate RUN --out {folder}"
        ) from None
    return Arm(name, results, rows, partial(read_pictures, folder))
