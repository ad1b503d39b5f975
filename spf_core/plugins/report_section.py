"""What `spf_report_sections` returns: sections of a run's page, whose text is escaped. Torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spf_core.errors import quoted

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image


class Block:
    """What a section consists of: one of the blocks below."""


@dataclass(frozen=True)
class Paragraph(Block):
    """A paragraph. **Bold**, *italics* and `code` are marked as in Markdown; all else is plain text."""

    text: str


@dataclass(frozen=True)
class Facts(Block):
    """Names with their values, a line each. Values are marked like a `Paragraph`."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table(Block):
    """A table under a caption. The first cell of a row is its heading; cells are marked like a paragraph."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                cells = f"{len(row)} cells, not {len(self.head)}"
                raise ValueError(f"a row of table '{self.caption}' has {cells}")
            for cell in row:
                if not isinstance(cell, str):
                    raise ValueError(f"a cell of table '{self.caption}' is {quoted(cell)}; write a text")


@dataclass(frozen=True)
class Picture:
    """An image of Pillow or a figure of matplotlib. `alt` says what it shows to whoever cannot see it."""

    image: "Image | Figure"
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("a picture needs an alt text that says what it shows")


@dataclass(frozen=True)
class Tiles(Block):
    """Small pictures side by side, such as portraits or maps; the page keeps up to 384 pixels of a side."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Plots(Block):
    """Large pictures with room for a caption, such as curves; the page keeps up to 2000 pixels of a side."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class ReportSection:
    """A section of a run's page.

    `name` is its anchor, in kebab case and no other section's. `before` names what it precedes: the
    pictures, the scores or the settings. Of several sections at one place, those of spf come first.
    """

    name: str
    title: str
    blocks: Sequence[Block]
    before: Literal["pictures", "scores", "settings"] = "settings"
