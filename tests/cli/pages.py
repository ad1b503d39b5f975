"""What the tests of `spf report` look at: the elements of a page."""

import json
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Collects elements with their attributes, and the visible text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def stands_alone(self) -> None:
        """Nothing is loaded from elsewhere, every picture is described, the links lead somewhere."""
        for name, attributes in self.elements:
            assert "srcset" not in attributes
            source = attributes.get("src")
            assert source is None or source.startswith("data:image/"), (name, source)
            assert name not in ("link", "iframe", "object", "embed"), name
            assert (attributes.get("href") or "#").startswith("#")
        assert "@import" not in self.source
        assert "url(" not in self.source
        assert all((picture["alt"] or "").strip() for picture in self.all("img"))
        anchors = {attributes.get("id") for _, attributes in self.elements}
        assert {(link["href"] or "")[1:] for link in self.all("a")} <= anchors
        assert len(self.all("h1")) == 1


def shown(value: dict[str, object]) -> str:
    """A score as the page's tables write it."""
    from spf_lab.evaluation.readout import interval

    return interval(value)


def results(folder: Path) -> dict[str, dict[str, object]]:
    content: dict[str, dict[str, object]] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content
