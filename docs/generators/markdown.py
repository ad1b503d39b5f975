"""Markdown from texts that were written for a terminal."""

import html
import re
from collections.abc import Iterable, Sequence

# Marked words that are a command, an option, a setting or a path; others are marked for emphasis alone.
_MARKED = re.compile(r"\[[a-z ]+\](spf .*?|--.*?|[^\[]*[=/._-][^\[]*)\[/[a-z ]*\]", re.DOTALL)


def cell(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(plain(text).split()).replace("|", "\\|")


def plain(text: str) -> str:
    """Markdown in place of rich's markup; what looks like a tag stays text."""
    text = re.sub(
        r"\[[a-z ]+\](spf .*?|--.*?|[^\[]*[=/._-][^\[]*)\[/[a-z ]*\]", r"`\1`", text, flags=re.DOTALL
    )
    text = re.sub(r"\[/?(?:bold|cyan|italic|dim)[a-z ]*\]|\[/\]", "", text)
    pieces = re.split(r"(`[^`]*`)", text.replace("\\[", "["))
    return "".join(piece if piece.startswith("`") else _escaped(piece) for piece in pieces)


def _escaped(text: str) -> str:
    return re.sub(r"([*_$])", r"\\\1", html.escape(text, quote=False))


def code(text: str) -> str:
    """A text as code in a cell; empty where there is none."""
    shown = text.replace("|", "&#124;").replace("<", "&lt;")
    return f"<code>{shown}</code>" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
