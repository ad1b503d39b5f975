"""The raters' page in a real browser, opened from disk, used with clicks and keys."""

from __future__ import annotations

import json
import time
from pathlib import Path

import browser
import numpy as np
import pytest
from browser import Browser
from studies import manifest, write_evaluations

from spf_lab.study.analysis import analyse_study
from spf_lab.study.build import build_study
from spf_lab.study.records import Export, read_key
from spf_lab.study.simulate import Behaviour, simulated_answer

pytestmark = pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
CHOSEN = "[data-answer='{}']"
READY = "document.querySelector('[data-answer=left]').getAttribute('aria-disabled') === 'false'"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_evaluations(tmp_path_factory.mktemp("evaluations"), ("spf", "naive"), scenes=45)


@pytest.fixture(scope="module")
def study(sources, tmp_path_factory) -> Path:
    """Twelve screens with the dwell time that people get."""
    out = tmp_path_factory.mktemp("study") / "out"
    build_study(sources, out, forms=2, trials=10)
    return out


@pytest.fixture(scope="module")
def quick_study(sources, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("quick") / "out"
    build_study(sources, out, forms=3, trials=24, dwell_ms=0)
    return out


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.quit()


@pytest.fixture
def page(shared, study):
    """The page as a new rater finds it."""
    shared.open(address(study))
    shared.run("localStorage.clear()")
    for file in shared.folder.glob("*.json"):
        file.unlink()
    shared.open(address(study))
    yield shared
    assert shared.errors() == []


def address(study: Path, query: str = "form=1") -> str:
    return f"{(study / 'page' / 'index.html').as_uri()}?{query}"


def shows(page, section):
    page.wait(f"document.getElementById('{section}')?.hidden === false")


def trial(page, number):
    page.wait(f"document.getElementById('trial').dataset.shown === '{number}'")


def begin(page):
    page.click("#agree")
    page.click("#start")
    trial(page, 0)


def stored(page):
    return json.loads(page.run("return Object.values(localStorage)[0] ?? 'null'"))


def exported(page, css, pattern="votes-*.json") -> Export:
    page.click(css)
    return Export.model_validate_json(page.saved(pattern).read_text(encoding="utf-8"))


def test_nothing_starts_without_consent(page):
    shows(page, "welcome")
    page.click("#start")
    assert page.run("return document.getElementById('trial').hidden")
    assert stored(page) is None
    begin(page)
    assert stored(page)["votes"] == []


def test_an_answer_counts_after_a_second_of_looking(page):
    begin(page)
    page.press("left")
    page.click(CHOSEN.format("left"))
    assert stored(page)["votes"] == []
    started = time.monotonic()
    page.wait(READY)
    assert time.monotonic() - started > 0.5
    page.press("left")
    trial(page, 1)
    (vote,) = stored(page)["votes"]
    assert (vote["trial"], vote["answer"]) == (0, "left")
    assert 1000 <= vote["ms"] < 5000


def test_pictures_have_one_size_and_words_that_tell_nothing(page, study):
    begin(page)
    shown = manifest(study / "page")["forms"][0]
    number = 0
    while "original" not in shown[number]:
        page.wait(READY)
        page.press("down")
        number += 1
        trial(page, number)
    boxes = page.run(
        "return [...document.querySelectorAll('#pictures img')].map(i => "
        "[i.alt, i.naturalWidth, i.width, i.height, i.src.split('/').pop()])"
    )
    assert [box[0] for box in boxes] == ["Left picture", "Original picture", "Right picture"]
    assert len({tuple(box[1:4]) for box in boxes}) == 1
    assert [box[4] for box in boxes] == [shown[number][side] for side in ("left", "original", "right")]


def test_pictures_are_enlarged_and_leafed_through_without_answering(page):
    begin(page)
    page.wait(READY)
    page.click("#right .picture")
    big = "document.querySelector('#zoom img')"
    assert page.run(f"return {big}.alt") == "Right picture"
    assert page.run(f"return {big}.width > 1.3 * document.querySelector('#left img').width")
    page.press("right")
    assert page.run(f"return {big}.alt") == "Left picture"
    page.press("escape")
    page.wait("!document.getElementById('zoom').open")
    assert stored(page)["votes"] == []
    page.press("z")
    assert page.run("return document.getElementById('zoom').open")


def test_keyboard_focus_is_visible_and_reaches_every_control(page):
    begin(page)
    reached = {}
    for _ in range(9):  # once around, past the browser's own controls
        page.press("tab")
        name, style = page.run(
            "const a = document.activeElement; return [a.closest('figure')?.id ?? "
            "(a.dataset.answer || a.id), getComputedStyle(a).outlineStyle]"
        )
        reached[name] = style
    reached.pop("", None)
    assert {"pause", "left", "right", "tie"} <= set(reached)
    assert set(reached.values()) == {"solid"}


def test_a_pause_and_a_closed_page_lose_nothing(page, study):
    begin(page)
    page.wait(READY)
    page.click(CHOSEN.format("right"))
    trial(page, 1)
    page.press("p")
    shows(page, "rest")
    assert "1 of 12" in page.run("return document.getElementById('so-far').textContent")
    before = stored(page)
    page.open(address(study, "form=2"))
    shows(page, "rest")
    assert stored(page) == before, "a rater stays with the form that was begun"
    page.click("#resume")
    trial(page, 1)
    assert page.run("return document.getElementById('count').textContent") == "2 of 12"
    page.press("p")
    saved = exported(page, "#rest [data-export]")
    assert (saved.form, len(saved.votes), saved.simulated) == (0, 1, False)


def test_withdrawing_deletes_the_answers_and_leaves_a_notice(page):
    begin(page)
    page.wait(READY)
    page.press("left")
    trial(page, 1)
    rater = stored(page)["rater"]
    page.press("p")
    page.click("#rest [data-withdraw]")
    page.click("#stay")
    assert len(stored(page)["votes"]) == 1
    page.click("#rest [data-withdraw]")
    page.click("#withdraw")
    shows(page, "withdrawn")
    notice = exported(page, "#withdrawn [data-export]", "withdrawal-*.json")
    assert (notice.rater, notice.withdrawn, notice.votes) == (rater, True, ())


def test_the_page_fits_a_phone(page):
    page.resize(390, 800)
    try:
        begin(page)
        wide = page.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
        bottoms = page.run(
            "return [...document.querySelectorAll('[data-answer]')].map(b => b.getBoundingClientRect())"
            ".map(r => [r.bottom, r.height, r.width])"
        )
        assert all(bottom <= 800 and height >= 44 and width >= 44 for bottom, height, width in bottoms)
    finally:
        page.resize(1280, 900)


def test_a_missing_picture_is_told(shared, sources, tmp_path):
    build_study(sources, tmp_path / "out", forms=1, trials=2)
    first = manifest(tmp_path / "out" / "page")["forms"][0][0]
    (tmp_path / "out" / "page" / "images" / first["left"]).unlink()
    shared.open(address(tmp_path / "out"))
    shared.click("#agree")
    shared.click("#start")
    shows(shared, "broken")
    assert first["left"] in shared.run("return document.getElementById('broken').textContent")
    assert all("ERR_FILE_NOT_FOUND" in line for line in shared.errors())


def test_raters_of_known_strength_are_recovered_from_what_the_page_saves(shared, quick_study, tmp_path):
    key, votes = read_key(quick_study), tmp_path / "votes"
    votes.mkdir()
    behaviour = Behaviour({"spf": 1.0, "naive": -1.0})
    for number in range(3):
        shared.open(address(quick_study, f"form={number + 1}&simulated"))
        shows(shared, "simulated")
        file = answer_all(shared, key.forms[number], behaviour, np.random.default_rng(number))
        file.rename(votes / file.name)
        shared.click("#done [data-another]")
        shows(shared, "welcome")
    found = analyse_study(quick_study, [votes], tmp_path / "out")
    assert (found["raters"]["complete"], found["simulated"]) == (3, True)
    assert found["raters"]["excluded"] == {}
    for question in found["questions"].values():
        low, high = question["strengths"]["spf"]["ci"]
        assert question["strengths"]["spf"]["value"] > 0
        assert low < 1.0 < high
    assert shared.errors() == []


def answer_all(page, form, behaviour, rng) -> Path:
    """Answer every screen by key or click, and save."""
    begin(page)
    given: list[str] = []
    for number, shown in enumerate(form):
        trial(page, number)
        choice = answer(shown, given, behaviour, rng)
        given.append(choice)
        page.wait(READY)
        if number % 2:
            page.click(CHOSEN.format(choice))
        else:
            page.press({"left": "left", "tie": "down", "right": "right"}[choice])
    shows(page, "done")
    page.click("#done [data-export]")
    saved = page.saved("votes-*.json")
    assert [vote.answer for vote in Export.model_validate_json(saved.read_text()).votes] == given
    return saved


def answer(shown, given, behaviour, rng) -> str:
    from spf_lab.study.records import Vote

    before = [Vote(trial=number, answer=choice, ms=0) for number, choice in enumerate(given)]
    return simulated_answer(shown, before, behaviour, rng)
