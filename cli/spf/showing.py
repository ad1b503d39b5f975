"""Tables and pictures that show themselves: as text in a console, as HTML in a notebook. Torch-free."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Table:
    """Rows of text under `columns`. The first cell of a row is its heading."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *self.rows)
        )
        return "\n".join([self.title, *lines])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            f"<tr><th style='text-align:left'>{html.escape(first)}</th>"
            + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for first, *cells in self.rows
        )
        return (
            f"<table><caption style='text-align:left'>{html.escape(self.title)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def picture_html(image: "Image", description: str) -> str:
    """The picture inside the page itself; `description` stands for it where it cannot be seen."""
    data = base64.b64encode(png(image)).decode()
    return f'<img alt="{html.escape(description)}" style="max-width:100%" src="data:image/png;base64,{data}">'


def png(image: "Image") -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def lines_html(lines: Sequence[str]) -> str:
    """Lines of text, one below another."""
    return "".join(f"<div>{html.escape(line)}</div>" for line in lines)
