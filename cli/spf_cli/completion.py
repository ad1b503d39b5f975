"""What the shell offers for names of components, and for plugin files. Torch-free."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from spf_core.utils.paths import expanded

Offered = list[tuple[str, str]]  # each text with its help


def names_of(*kinds: str) -> Callable[[str], Offered]:
    """A completion with the names of the installed components of these kinds, by default of all."""

    def complete(incomplete: str) -> Offered:
        return list(_names(incomplete, kinds))

    return complete


def plugins_and_files(incomplete: str) -> Offered:
    """What `--plugin` takes: names of the kinds that a run may name, folders and Python files."""
    from spf_core.config.loading import SELECTABLE

    return [*_names(incomplete, SELECTABLE), *_files(incomplete)]


def _names(incomplete: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from spf_core.plugins.discovery import load_plugins

    for name, entry in sorted(load_plugins().entries.items()):
        if name.startswith(incomplete) and (not kinds or entry.config.kind in kinds):
            yield name, entry.summary


def _files(incomplete: str) -> Iterator[tuple[str, str]]:
    folder = incomplete[: incomplete.rfind("/") + 1]
    with suppress(OSError):
        for place in sorted(Path(expanded(folder) or ".").iterdir()):
            text = f"{folder}{place.name}" + ("/" if place.is_dir() else "")
            hidden = place.name.startswith(".") and not incomplete.endswith("/.")
            if text.startswith(incomplete) and text.endswith(("/", ".py")) and not hidden:
                yield text, ""
