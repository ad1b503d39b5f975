"""The packages that plugins come from: what their metadata says, and which versions of spf they are made for.

Torch-free.
"""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from spf_core import __version__
from spf_core.errors import PluginError, short

OWN = "spf"
RANGE = "SPF_API"  # what a plugin file calls the versions of spf that it is made for
State = Literal["loaded", "disabled", "failed"]


@dataclass(frozen=True)
class Provider:
    """An installed plugin, or a plugin file: whether spf uses it, and where not, why."""

    name: str  # of its entry point, or the path of the file
    package: str  # the distribution that brings it; empty for a file
    version: str
    state: State
    reason: str = ""

    @property
    def own(self) -> bool:
        """Whether it is spf's own."""
        return self.package.lower() == OWN

    @property
    def homepage(self) -> str:
        """The address that the package's metadata gives; empty where there is none."""
        try:
            return homepage_of(distribution(self.package)) if self.package else ""
        except PackageNotFoundError:
            return ""

    @property
    def made_for(self) -> str:
        """The versions of spf that the package or the file says it works with; empty where it names none."""
        try:
            return (
                range_of_package(distribution(self.package).requires or ())
                if self.package
                else range_of_file(Path(self.name))
            )
        except (PackageNotFoundError, OSError):
            return ""


def homepage_of(package: Distribution) -> str:
    """The package's homepage or, without one, its repository or any other address that it names."""
    addresses = {}
    for line in package.metadata.get_all("Project-URL") or []:
        label, _, address = str(line).partition(",")
        addresses[re.sub(r"[^a-z]", "", label.lower())] = address.strip()
    first = next(iter(addresses.values()), "")
    named = (
        addresses[each] for each in ("homepage", "repository", "source", "sourcecode") if each in addresses
    )
    older = [str(home) for home in package.metadata.get_all("Home-page") or [] if home != "UNKNOWN"]
    return next(named, "") or next(iter(older), "") or first


def range_of_package(requires: Iterable[str]) -> str:
    """The versions of spf in a package's requirements, as in `>=0.1,<0.2`; empty where they name none."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = []
    for line in requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and canonicalize_name(requirement.name) == OWN and str(requirement.specifier):
            found.append(str(requirement.specifier))
    return ",".join(found)


def range_of_file(file: Path) -> str:
    """The versions of spf in a plugin file's `SPF_API`, as in `>=0.1,<0.2`; empty where it names none.

    The file is read and not run: what it imports may be missing from this spf. PluginError where its
    `SPF_API` is no range.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):
        return ""  # importing it says why
    for node in body:
        named = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if not any(isinstance(each, ast.Name) and each.id == RANGE for each in named):
            continue
        value = node.value  # type: ignore[attr-defined]
        try:
            wanted = ast.literal_eval(value)
            SpecifierSet(wanted)
        except (InvalidSpecifier, ValueError, AttributeError, TypeError):
            raise PluginError(
                f"its {RANGE} is {short(ast.unparse(value))}; write the versions of spf that it works with, "
                f'as in {RANGE} = ">=0.1,<0.2"'
            ) from None
        return str(wanted)
    return ""


def refuse_other_spf(package: str, requires: Iterable[str]) -> None:
    """PluginError where the package's own requirement on spf leaves out this version.

    pip holds to the requirement when it installs; here it counts also where spf has changed since.
    """
    _refuse_outside(range_of_package(requires), f"another version of '{short(package)}', or of spf")


def refuse_file_of_other_spf(file: Path) -> None:
    """PluginError where a plugin file's `SPF_API` leaves out this version of spf."""
    _refuse_outside(range_of_file(file), f"such a spf, or change the file and its {RANGE}")


def _refuse_outside(wanted: str, way_out: str) -> None:
    from packaging.specifiers import SpecifierSet

    if not SpecifierSet(wanted).contains(__version__, prereleases=True):
        raise PluginError(f"it is made for spf{wanted}, and this is spf {__version__}; install {way_out}")
