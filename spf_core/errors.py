"""Errors a user can cause. Each message is one line: the value, the place, the way out."""

import difflib
import re
import reprlib
from collections.abc import Iterable

SHORT = 80  # characters of a value in a message
# Control characters, line separators, bidirectional overrides and half characters: they would change the
# terminal, tear a line apart or could not be written at all. Those of the second line show nothing, so that a
# user would not see why two texts differ; joiners stay, which scripts and emoji need.
_LISTED = 24  # names in a message: those of one kind fit, those of all kinds fill a screen
_UNSHOWABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\xad\u061c\u200b\u200e\u200f\u2060-\u2064\ufeff]"
)


class SpfError(Exception):
    """Base of every user-facing error; the command line prints it as one line and exits with code 2."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback: the line says everything that a user needs."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(SpfError):
    """A name, key or value in the configuration is wrong."""


class DataError(SpfError):
    """A training folder or an image in it cannot be used."""


class PluginError(SpfError):
    """A plugin cannot be loaded, or failed while it ran."""


class RunError(SpfError):
    """A run folder, checkpoint or weights file cannot be used."""


class Unavailable(SpfError):  # noqa: N818 - a state of affairs that is reported, not a fault
    """A score cannot be had here: its weights are absent, or it says nothing about the target."""


class InterruptedRunError(RunError):
    """Ctrl-C while a run trained; its state is saved."""


class NonFiniteError(RunError):
    """A loss term or a picture became NaN or infinite; no weight was touched."""


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would obey or could not show."""
    return _UNSHOWABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def short(text: str, limit: int = SHORT) -> str:
    """The text for a message: printable, and cut after `limit` characters."""
    text = printable(text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def quoted(value: object, limit: int = SHORT) -> str:
    """The value as Python writes it, for a message: printable and cut, whatever its size and depth."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = limit
    shown.maxlevel = 3
    if isinstance(value, int) and value.bit_length() > 4 * limit:
        return f"a whole number of {value.bit_length()} bits"
    return short(shown.repr(value), limit)


def nearest(name: str, choices: Iterable[str], cutoff: float = 0.5) -> list[str]:
    """Up to three of `choices` that resemble `name` most, all equally; none where no likeness is `cutoff`."""
    name = name[:SHORT]
    close = difflib.get_close_matches(name, list(choices), n=3, cutoff=cutoff)
    likeness = [difflib.SequenceMatcher(None, choice, name).ratio() for choice in close]
    return sorted(choice for choice, found in zip(close, likeness, strict=True) if found == likeness[0])


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest of `choices`, or an empty string."""
    close = " or ".join(f"'{each}'" for each in nearest(name, choices))
    return f" Did you mean {close}?" if close else ""


def unknown(kind: str, name: str, choices: Iterable[str]) -> ConfigError:
    """The error for a name that is not among `choices`, of which it lists the first where they are many."""
    known = sorted(choices)
    listing = ", ".join(known[:_LISTED]) if known else "none"
    if len(known) > _LISTED:
        listing += f" and {len(known) - _LISTED} more; `spf plugins list` shows all"
    return ConfigError(f"no {kind} named '{short(name)}'.{did_you_mean(name, known)} Installed: {listing}")
