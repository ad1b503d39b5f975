"""What the tracker does with numbers and pictures."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Image


class NewThingTracker:
    """A table with a row for each number: step, name, value."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.place = Path(folder)

    @property
    def table(self) -> Path:
        """The file with the numbers."""
        return self.place / "numbers.csv"

    def start(self, run: Path, settings: Mapping[str, Any], step: int) -> None:
        """Keep what an earlier process wrote up to `step`: a run that resumes computes the rest again."""
        self.place = run / self.folder
        self.place.mkdir(parents=True, exist_ok=True)
        (self.place / "settings.json").write_text(json.dumps(dict(settings), indent=2), encoding="utf-8")
        rows = self.rows() if self.table.exists() else []
        with self.table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(row for row in rows if int(row[0]) <= step)

    def rows(self) -> list[list[str]]:
        """What the table holds."""
        with self.table.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a row for each number."""
        with self.table.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, name, value) for name, value in numbers.items())

    def pictures(self, step: int, pictures: Mapping[str, Image]) -> None:
        """Save each picture under its step and name."""
        for name, picture in pictures.items():
            picture.save(self.place / f"{step:06d}-{name}.png")

    def finish(self) -> None:
        """Nothing is open."""
