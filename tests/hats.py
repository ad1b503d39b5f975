"""A small training folder for tests that train."""

import json
from pathlib import Path

from PIL import Image

TEXTS = ("an old man", "a young woman with red hair", "a man in the park", "a young man")


def write_hats(folder: Path) -> Path:
    """Four rows in `folder`, all on the target "wearing a hat"."""
    rows = []
    for number, text in enumerate(TEXTS):
        Image.new("RGB", (40, 32), (60 * number, 90, 120)).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "base_text": text, "target_text": "wearing a hat"})
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder
