"""Notebooks as pages: their text, their code, and what the code printed and drew when it last ran."""

import base64
import html
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image


def notebook_pages(folder: Path) -> dict[str, str]:
    """A page for each notebook that has been run, by the name `notebook-NAME`."""
    pages = {}
    for file in sorted(folder.glob("*.ipynb")):
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        if any(cell.get("outputs") for cell in cells):
            pages[f"notebook-{file.stem}"] = "\n\n".join(part for cell in cells for part in _cell(cell))
    return pages


def _cell(cell: Any) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        # The page that includes this has the title already.
        yield source.partition("\n")[2].strip() if source.startswith("# ") else source
        return
    yield f"```python\n{source}\n```"
    for output in cell["outputs"]:
        yield _output(output)


def _output(output: Any) -> str:
    if output["output_type"] == "stream":
        return f"<pre class='printed'>{html.escape(''.join(output['text']))}</pre>"
    data = output["data"]
    if "text/html" in data:
        shown = "".join(data["text/html"]).replace("\n", " ")
        return f"<div class='shown' markdown='0'>{shown}</div>"
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode("".join(data["image/png"]))))
        return f"<p class='shown'>{_webp(picture)}</p>"
    return f"<pre class='printed'>{html.escape(''.join(data['text/plain']))}</pre>"


def _webp(picture: Image.Image) -> str:
    """The picture inside the page; the notebook keeps the PNG."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="WEBP", quality=85)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="what the cell shows" src="data:image/webp;base64,{encoded}">'
