"""One training example: an image, its texts, what of the image is shown, and how it is yet to be read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spf_core.utils.prompts import Prompt


@dataclass(frozen=True)
class View:
    """What a row shows of its image: mirrored if `flip`, then cropped, then resized to `size`.

    The crop is the largest of the shape of `size` (width, height in pixels; none: the model's own square).
    `x` and `y` say where it lies: 0 is left or top, 0.5 the centre, 1 right or bottom.
    """

    size: tuple[int, int] | None = None
    x: float = 0.5
    y: float = 0.5
    flip: bool = False


@dataclass(frozen=True)
class Row:
    """One training example. `mask` marks the target's region, where the data has such images.

    The target text is added to the base text, or takes the place of the words `replaces` in it. In each pass
    over the data the row is read `repeats` times. `warnings` say what a user should look at in this row; two
    rows that differ in nothing else are equal.
    """

    image: Path
    base_text: str
    target_text: str
    base_phrases: tuple[str, ...] = ()
    mask: Path | None = None
    replaces: str | None = None
    repeats: int = 1
    view: View = View()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def prompt(self) -> Prompt:
        """The row's texts, joined as training joins them."""
        return Prompt(self.base_text, self.target_text, self.base_phrases, self.replaces)


@dataclass(frozen=True)
class Reading:
    """A row that is yet to be read.

    `place` is where it stands, for messages, as in `photos/metadata.jsonl:3`. `read` returns the row, or
    raises `spf_core.errors.DataError`, whose message says what is wrong and the way out. `files` are the
    files that it names or comes from, its table included: spf warns of the others in the folder. `keys` are
    the names of its values, where it has some: spf warns of those that look like a column that it reads.
    """

    place: str
    read: Callable[[], Row]
    files: Sequence[Path] = ()
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class Caption:
    """One image's caption before it is split, for `spf data prepare`.

    `file_name` is the image, relative to the folder, with `/` between its parts. `values` are the other
    columns of the row that is written, such as `mask` and `repeats`.
    """

    file_name: str
    text: str
    values: Mapping[str, Any]
