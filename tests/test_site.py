"""The documentation as a reader sees it: built by mkdocs, opened in headless Chromium."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from browser import Browser

ROOT = Path(__file__).parents[1]
PHONE = 390
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.missing() is not None, reason=browser.missing() or ""),
]


class Silent(http.server.SimpleHTTPRequestHandler):
    """A file server that prints nothing."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, built anew and strictly."""
    pytest.importorskip("mkdocstrings", reason="the site needs the extra `docs`: `make docs`")
    folder = tmp_path_factory.mktemp("site")
    for command in (["docs.generators"], ["mkdocs", "build", "--strict", "--site-dir", str(folder)]):
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path)
    yield opened
    assert opened.errors() == []
    opened.quit()


def found(page: Browser, words: str) -> list[str]:
    """The pages that the search of the site lists for what a reader types, the best first."""
    page.run(
        "document.querySelector('#__search').checked = true;"
        "const field = document.querySelector('.md-search__input');"
        "field.focus(); field.value = arguments[0]; field.dispatchEvent(new Event('keyup'));",
        words,
    )
    page.wait("/[0-9]+ matching/.test(document.querySelector('.md-search-result__meta').innerText)")
    first = "document.querySelectorAll('.md-search-result__item > a')"
    page.wait(f"{first}.length > 0")
    return list(page.run(f"return [...new Set([...{first}].map(a => new URL(a.href).pathname))]"))


def fits(page: Browser) -> bool:
    return bool(page.run("return document.documentElement.scrollWidth <= window.innerWidth"))


def test_the_front_page_has_its_tabs_and_the_picture(site: str, page: Browser) -> None:
    page.open(f"{site}/")
    assert page.run("return document.querySelectorAll('.md-tabs__link').length") == 6
    assert page.run("return document.querySelector('article img').naturalWidth") > 0


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("sfcm", "/guides/control-map/"),
        ("out of memory", "/guides/memory/"),
        ("NaN", "/guides/trouble-shooting/"),
        ("colab", "/guides/install/"),
        ("safetensors", "/reference/file-formats/"),
        ("trigger word", "/guides/captions/"),
    ],
)
def test_the_search_finds_what_people_type(site: str, page: Browser, words: str, place: str) -> None:
    page.open(f"{site}/")
    assert place in found(page, words)[:6]


def test_a_tutorial_reads_on_a_phone(site: str, page: Browser) -> None:
    page.resize(PHONE, 800)
    page.open(f"{site}/tutorials/first-run/")
    assert fits(page)
    assert page.run("return document.querySelectorAll('article pre').length") > 5


@pytest.mark.parametrize(
    "place",
    [
        "guides/choose-a-preset/",
        "guides/trouble-shooting/",
        "reference/components/",
        "explanation/method/",
        "results/portraits/results/",
    ],
)
def test_what_is_wide_scrolls_inside_itself_on_a_phone(site: str, page: Browser, place: str) -> None:
    page.resize(PHONE, 800)
    page.open(f"{site}/{place}")
    assert fits(page)


def test_the_method_shows_its_equations(site: str, page: Browser) -> None:
    page.open(f"{site}/explanation/method/")
    assert page.run("return document.querySelectorAll('.katex-display').length") > 9
    assert page.run("return document.querySelectorAll('.katex-error').length") == 0


def test_dark_mode_is_two_clicks_away(site: str, page: Browser) -> None:
    page.open(f"{site}/")
    light = page.run("return getComputedStyle(document.body).backgroundColor")
    for _ in range(2):
        page.click(".md-header__option label:not([hidden])")
    assert page.run("return document.body.dataset.mdColorScheme") == "slate"
    assert page.run("return getComputedStyle(document.body).backgroundColor") != light
