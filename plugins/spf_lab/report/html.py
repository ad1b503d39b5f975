"""HTML elements as text, and the document around them, with styles and script inside."""

import html
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from spf_lab.report.texts import FOOT
from spf_lab.report.verdict import Verdict

_EMPTY = ("img", "input", "meta")
_BOLD, _CODE = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"`(.+?)`")
_ITALIC = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]+)(?<!\s)\*(?![\w*])")


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put in."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | bool) -> Html:
    """An element. `class_` and `data_pair` become `class` and `data-pair`; True is a bare attribute."""
    shown = "".join(_attribute(key, value) for key, value in attributes.items() if value is not False)
    if name in _EMPTY:
        return Html(f"<{name}{shown}>")
    return Html(f"<{name}{shown}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Parts one after another, plain text escaped."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def marked(text: str) -> Html:
    """Plain text in which **bold**, *italics* and `code` are marked as in Markdown."""
    bold = _BOLD.sub(r"<strong>\1</strong>", html.escape(text, quote=False))
    return Html(_CODE.sub(r"<code>\1</code>", _ITALIC.sub(r"<em>\1</em>", bold)))


def paragraph(text: str, **attributes: str) -> Html:
    """A paragraph of `marked` text."""
    return tag("p", marked(text), **attributes)


def image(source: str, alt: str, **attributes: str | bool) -> Html:
    """A picture; `alt` says what it shows."""
    assert alt.strip(), "every picture is described"
    return tag("img", src=source, alt=alt, decoding="async", **attributes)


def plot(source: str, alt: str, caption: str = "") -> Html:
    """A figure of its own with an optional caption."""
    below = (tag("figcaption", marked(caption)),) if caption else ()
    return tag("figure", image(source, alt), *below, class_="plot")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table that scrolls in a box of its own; the first cell of a row is its heading."""
    first = tag("tr", *(tag("th", marked(cell), scope="col") for cell in head))
    body = [
        tag("tr", tag("th", marked(row[0]), scope="row"), *(tag("td", marked(cell)) for cell in row[1:]))
        for row in rows
    ]
    filled = tag("table", tag("caption", marked(caption)), tag("thead", first), tag("tbody", *body))
    return tag("div", filled, class_="scroll", tabindex="0", role="region", aria_label=caption)


def verdict_box(verdict: Verdict) -> Html:
    """The verdict at the top of a page, or of a part of it."""
    more = [tag("p", marked(each)) for each in verdict.more]
    return tag(
        "div",
        tag("p", verdict.word, class_="word"),
        tag("p", marked(verdict.sentence), class_="says"),
        *more,
        class_=f"verdict {verdict.level}",
    )


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names with their values."""
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", marked(value))) for name, value in pairs),
        class_="facts",
    )


def section(name: str, title: str, *parts: str) -> Html:
    """A part of the page under a heading; `name` is its anchor."""
    return tag(
        "section", tag("h2", title, id=f"{name}-title"), *parts, id=name, aria_labelledby=f"{name}-title"
    )


def folded(summary: str, *parts: str, is_open: bool = False) -> Html:
    """Parts behind a line that opens them."""
    return tag("details", tag("summary", summary), *parts, open=is_open)


def document(
    title: str,
    header: Html,
    sections: Sequence[tuple[str, str, Html]],
    *,
    foot: str = FOOT,
    refresh: int | None = None,
) -> str:
    """The whole page. `sections` are anchor, name in the navigation, and content.

    With `refresh`, browsers load it again after so many seconds.
    """
    again = () if refresh is None else (tag("meta", http_equiv="refresh", content=str(refresh)),)
    links = [tag("a", name, href=f"#{anchor}") for anchor, name, _ in sections]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        *again,
        tag("title", title),
        tag("style", Html(_resource("page.css"))),
        tag("script", Html(_resource("theme.js"))),
    )
    body = tag(
        "body",
        tag("a", "Skip to the content", href="#main", class_="skip"),
        header,
        tag("nav", *links, aria_label="Parts of this page"),
        tag("main", *(content for _, _, content in sections), id="main"),
        tag("footer", tag("p", foot)),
        tag("script", Html(_resource("page.js"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'


def _resource(name: str) -> str:
    return (files("spf_lab.report") / name).read_text(encoding="utf-8")
