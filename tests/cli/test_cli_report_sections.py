"""A plugin's sections on the page of a run: where they stand, what they may hold, and what a fault costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from command_line import Spf
from installing import PACKAGE, installed
from matplotlib.figure import Figure
from pages import Page
from PIL import Image

from spf_core.errors import RunError
from spf_core.plugins import Facts, Paragraph, Picture, Plots, ReportSection, Table, Tiles
from spf_lab.report import sections

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(spf: Spf, data: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose weights are gone, so that no page of it loads a model."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = ("--preset", "lora", "--steps", 1, "--set", "sample.every=0", "--out", out)
    assert spf("train", "--data", data, *options, *tiny).code == 0
    (out / "adapter.safetensors").unlink()
    return out


def titles(page: Page) -> list[str]:
    """The names in the navigation."""
    nav = page.source.partition("<nav")[2].partition("</nav>")[0]
    return [each.partition(">")[2].partition("<")[0] for each in nav.split("<a ")[1:]]


def written(spf: Spf, run: Path, tmp_path: Path, hook: Callable[..., object]) -> tuple[Page, str]:
    """The page with a package that has this hook, and what the command says on stderr."""
    with installed(spf_report_sections=hook):
        done = spf("report", run, "--out", tmp_path / "page.html")
    assert done.code == 0, done.err
    page = Page(tmp_path / "page.html")
    page.stands_alone()
    return page, done.err


def test_sections_of_a_plugin_stand_where_they_say(spf: Spf, run: Path, tmp_path: Path) -> None:
    def hook() -> list[ReportSection]:
        return [
            ReportSection("late", "Late", [Paragraph("after the training")]),
            ReportSection("early", "Early", [], before="pictures"),
            ReportSection("middle", "Middle", [], before="scores"),
        ]

    page, said = written(spf, run, tmp_path, hook)
    assert said == ""
    assert titles(page) == ["Early", "Samples", "Attention", "Middle", "Training", "Late", "Settings"]


def test_a_section_may_hold_every_kind_of_block(spf: Spf, run: Path, tmp_path: Path) -> None:
    def hook(run: Path, evaluation: Path | None) -> list[ReportSection]:
        figure = Figure()
        figure.subplots().plot([1, 2])
        wide = Picture(Image.new("RGB", (3000, 30)), "a wide picture", "as wide as it may be")
        blocks = [
            Paragraph(f"of **{run.name}**, evaluation {evaluation}"),
            Facts([("hardness", "`7`")]),
            Table("of stones", ("stone", "hardness"), [("quartz", "7"), ("talc", "1")]),
            Tiles([Picture(Image.new("RGB", (8, 8)), "a black tile", "black"), Picture(figure, "a line")]),
            Plots([Picture(figure, "a line again", "*rising*"), wide]),
        ]
        return [ReportSection("stones", "Stones", blocks)]

    page, _ = written(spf, run, tmp_path, hook)
    assert "of run, evaluation None" in page.text
    for shown in ("<strong>run</strong>", "<code>7</code>", "<em>rising</em>", "<figcaption>black<"):
        assert shown in page.source
    assert {"a black tile", "a line", "a line again", "a wide picture"} <= {
        each["alt"] for each in page.all("img")
    }
    assert all(word in page.text for word in ("of stones", "quartz", "talc"))


def test_a_stranger_s_text_is_shown_and_not_run(spf: Spf, run: Path, tmp_path: Path) -> None:
    def hook() -> list[ReportSection]:
        blocks = [
            Paragraph(SCRIPT),
            Facts([(SCRIPT, SCRIPT)]),
            Table(SCRIPT, [SCRIPT], [[SCRIPT]]),
            Tiles([Picture(Image.new("RGB", (8, 8)), f'"{SCRIPT}', SCRIPT)]),
        ]
        return [ReportSection("scripts", SCRIPT, blocks)]

    page, _ = written(spf, run, tmp_path, hook)
    assert SCRIPT not in page.source
    assert page.text.count(SCRIPT) == 9, "two titles, one paragraph, two facts, three cells, one caption"


def one(*blocks: object, name: str = "mine", before: str = "settings") -> list[ReportSection]:
    return [ReportSection(name, "Mine", list(blocks), before)]  # type: ignore[arg-type]


def raises(error: BaseException) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (lambda: raises(ValueError("no such stone")), "ValueError: no such stone"),
        (lambda: raises(RunError("'stones.json' is damaged")), "'stones.json' is damaged"),
        (lambda: raises(SystemExit(3)), "SystemExit"),
        (lambda: time.sleep(1e6), "within 0.5 seconds; compute it in a command"),
        (lambda: "<p>mine</p>", "returns '<p>mine</p>'; return a list of ReportSection"),
        (lambda: ["<p>mine</p>"], "lists '<p>mine</p>'; return a list of ReportSection alone"),
        (lambda: one("<p>mine</p>"), "holds '<p>mine</p>', no block; use Paragraph, Facts, Table"),
        (lambda: one(Paragraph(7)), "AttributeError"),  # type: ignore[arg-type]
        (lambda: one(Table("of stones", ("stone",), [("quartz", "7")])), "has 2 cells, not 1"),
        (
            lambda: one(Table("of stones", ("stone",), [(7,)])),
            "a cell of table 'of stones' is 7; write a text",
        ),  # type: ignore[list-item]
        (lambda: [ReportSection("stones", "Stones", Paragraph("many"))], "give a list of them"),  # type: ignore[arg-type]
        (lambda: one(Tiles([Picture(Image.new("RGB", (8, 8)), " ")])), "needs an alt text"),
        (lambda: one(name="My Section"), "section 'My Section' has no name in kebab case"),
        (lambda: one(name="training"), "a section 'training' already; choose another name"),
        (lambda: one() + one(), "a section 'mine' already"),
        (lambda: one(before="the end"), "has before='the end'; use pictures, scores, settings"),
    ],
)
def test_a_plugin_that_fails_costs_its_sections_and_one_warning(
    spf: Spf,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: Callable[[], object],
    reason: str,
) -> None:
    monkeypatch.setattr(sections, "SECONDS", 0.5)
    page, said = written(spf, run, tmp_path, hook)
    assert titles(page) == ["Samples", "Attention", "Training", "Settings"]
    assert said.count("\n") == 1
    assert said.startswith(f"warning: plugin '{PACKAGE}' is left out: ")
    assert reason in said


def test_a_plugin_with_nothing_to_show_adds_nothing(spf: Spf, run: Path, tmp_path: Path) -> None:
    page, said = written(spf, run, tmp_path, lambda: None)
    assert (titles(page), said) == (["Samples", "Attention", "Training", "Settings"], "")
