"""Which rows the base model draws for: those of the first texts of an image; others share. Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from spf_core.utils.prompts import Prompt

Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Drawn:
    """`rows` are drawn for, in their order; row n shares what is drawn for `rows[places[n]]`."""

    rows: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def all(self) -> bool:
        """Whether no row shares."""
        return len(self.rows) == len(self.places)


def drawn_for(images: Sequence[Picture], prompts: Sequence[Prompt], texts: int | None) -> Drawn:
    """The first `texts` rows of each image and target are drawn for, and take turns for its other rows.

    The other texts of an image say less than the first, so that what was drawn for that fits them, too. With
    None every row is drawn for.
    """
    if texts is None:
        return Drawn(tuple(range(len(prompts))), tuple(range(len(prompts))))
    members: dict[tuple[Picture, str | None], list[int]] = {}
    owner = []
    for row, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        group = members.setdefault((image, prompt.target_text), [])
        group.append(row)
        owner.append(group[(len(group) - 1) % texts])
    rows = sorted(set(owner))
    place = {row: number for number, row in enumerate(rows)}
    return Drawn(tuple(rows), tuple(place[row] for row in owner))


def most_texts(images: Sequence[Picture], prompts: Sequence[Prompt]) -> int:
    """How many rows the image with the most of them has, of one target."""
    counts: dict[tuple[Picture, str | None], int] = {}
    for image, prompt in zip(images, prompts, strict=True):
        counts[image, prompt.target_text] = counts.get((image, prompt.target_text), 0) + 1
    return max(counts.values(), default=1)
