"""One training example: an image, its texts, and what of the image is shown."""

from dataclasses import dataclass, field
from pathlib import Path

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
