"""Packages to start from: what `spf plugins new` writes for each kind, and the examples, file by file."""

from collections.abc import Mapping
from pathlib import Path

from docs.generators.markdown import plain
from spf_cli.plugins.kinds import NEW_KINDS
from spf_cli.plugins.scaffold import plan
from spf_core.plugins.configs import PROTOCOL_OF

_LANGUAGES = {".py": "python", ".toml": "toml"}


def packages_of_kinds() -> str:
    """A section for each kind: the Python files of the package that `spf plugins new KIND my-KIND` writes."""
    return "\n".join(map(_section, NEW_KINDS))


def _section(kind: str) -> str:
    name = f"my-{kind}"
    files = plan(kind, name, Path(f"spf-{name}"), "Apache-2.0", "").files
    python = {place: text for place, text in files.items() if place.endswith(".py")}
    built = "Its hooks are functions of the module."
    if kind in PROTOCOL_OF:
        protocol = PROTOCOL_OF[kind]
        built = f"`build()` returns a [`{protocol}`](api/interfaces.md#spf_core.interfaces.{protocol})."
    elif kind == "preset":
        built = "It builds nothing: `settings` is a mapping like a configuration file."
    heading = f"### {kind} {{ #package-{kind} }}"
    return f"{heading}\n\n`spf plugins new {kind} {name}` writes these files. {built}\n\n{_tabs(python)}"


def example_package(folder: Path) -> str:
    """The files of an example package, and the first paragraph of its README."""
    first = folder.joinpath("README.md").read_text(encoding="utf-8").split("\n\n")[1]
    found = [*sorted(folder.rglob("*.py")), folder / "pyproject.toml"]
    files = {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in found}
    return f"{plain(first)}\n\n{_tabs({place: text for place, text in files.items() if text.strip()})}"


def _tabs(files: Mapping[str, str]) -> str:
    """A tab for each file."""
    tabs = []
    for place, text in files.items():
        block = f"```{_LANGUAGES[Path(place).suffix]}\n{text.rstrip()}\n```"
        indented = "\n".join(f"    {line}" if line else "" for line in block.splitlines())
        tabs.append(f'=== "`{place}`"\n\n{indented}\n')
    return "\n".join(tabs)
